//! Tokens: how one is made, and how one that was shown is compared with what is known.
//!
//! A token is 32 random bytes, so that nobody can guess it and one round of SHA-256 keeps it as
//! safe as a slow password hash would: there is no dictionary to try.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// What every token begins with, so that scanners for leaked secrets know one.
pub(crate) const PREFIX: &str = "wbt_";
/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;

/// SHA-256 of a token: all that the file holds of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash(pub(crate) [u8; 32]);

/// A fresh token, to be shown once.
///
/// # Errors
/// The system gives no randomness.
pub fn fresh() -> Result<String, getrandom::Error> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random)?;
    Ok(format!("{PREFIX}{}", hex::encode(random)))
}

impl TokenHash {
    /// The hash of a token as it is sent.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// A hash as it is written: 64 hexadecimal digits.
    ///
    /// # Errors
    /// What is wrong, without the text: it may be a token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).map_err(|_| {
            "is the SHA-256 of a token: 64 hexadecimal digits; `collector token new NAME` makes one"
                .to_owned()
        })?;
        if hash == Self::of(b"").0 || hash == Self::of(b"\n").0 {
            return Err("is the SHA-256 of nothing, so an empty token would do".to_owned());
        }
        Ok(Self(hash))
    }

    /// Whether they are the same, in a time that says nothing of where they differ.
    pub(crate) fn same(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl std::fmt::Display for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_tokens_differ_and_fit_a_header() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 2 * RANDOM_BYTES);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    }

    #[test]
    fn a_hash_is_what_sha256sum_prints() {
        let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let hash = TokenHash::of(b"test");
        assert_eq!(hash.to_string(), text);
        assert!(bool::from(TokenHash::parse(&text.to_uppercase()).unwrap().same(&hash)));
    }

    #[test]
    fn what_is_no_hash_is_refused_without_repeating_it() {
        let empty = TokenHash::of(b"").to_string();
        for text in ["", "wbt_secret", &"0".repeat(63), &empty] {
            let why = TokenHash::parse(text).unwrap_err();
            assert!(text.is_empty() || !why.contains(text), "{why}");
        }
    }
}
