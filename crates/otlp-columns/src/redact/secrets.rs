//! Secrets that free text gives a name: `password=…`, `"token": "…"`, `api_key: …`.

use super::REDACTED;

/// Names of secrets, in lower case; what precedes them in a longer name (`client_`, `x-`) does not
/// matter.
const NAMES: [&[u8]; 19] = [
    b"password",
    b"passwd",
    b"pwd",
    b"passphrase",
    "пароль".as_bytes(),
    "Пароль".as_bytes(),
    b"secret",
    b"token",
    b"credential",
    b"credentials",
    b"authorization",
    b"apikey",
    b"api_key",
    b"api-key",
    b"access_key",
    b"secret_key",
    b"private_key",
    b"cvv",
    b"cvc",
];
/// Names after which prose is common (`unexpected token: end of file`): with a colon and a space
/// only what looks like a token is taken for one.
const OFTEN_PROSE: [&[u8]; 4] = [b"token", b"credential", b"credentials", b"authorization"];
/// A word of prose is shorter and has no digit.
const PROSE_BYTES_MAX: usize = 20;
/// Values that say that there is no secret.
const NOTHING: [&[u8]; 6] = [b"null", b"none", b"nil", b"undefined", b"true", b"false"];
/// Words before a token that belong to it.
const SCHEMES: [&[u8]; 2] = [b"bearer", b"basic"];

/// The value of a secret whose name stands before the `=` or `:` at `at`. Nothing before `from` is
/// looked at.
pub(super) fn secret(bytes: &[u8], from: usize, at: usize) -> Option<(usize, usize)> {
    let name = name_before(&bytes[from..at])?;
    let after = bytes[at..].iter().take_while(|byte| b"=:>".contains(byte)).count();
    let spaces = bytes[at + after..].iter().take_while(|byte| **byte == b' ').count();
    let (start, end) = value(bytes, at + after + spaces);
    let value = &bytes[start..end];
    let is_nothing = value.is_empty()
        || NOTHING.iter().any(|nothing| value.eq_ignore_ascii_case(nothing))
        || bytes[start..].starts_with(REDACTED.as_bytes());
    let may_be_prose = bytes[at] == b':'
        && spaces > 0
        && OFTEN_PROSE.iter().any(|often| name.eq_ignore_ascii_case(often));
    let is_prose =
        may_be_prose && value.len() < PROSE_BYTES_MAX && !value.iter().any(u8::is_ascii_digit);
    (!is_nothing && !is_prose).then_some((start, end))
}

/// The name of a secret at the end of a text, which may be quoted.
pub(super) fn name_before(before: &[u8]) -> Option<&[u8]> {
    let skipped = before.iter().rev().take(4).take_while(|byte| b" \"'\\".contains(byte)).count();
    let named = &before[..before.len() - skipped];
    // Nearly all colons stand after something else.
    if !matches!(
        named.last()?,
        b'd' | b'D'
            | b'e'
            | b'E'
            | b't'
            | b'T'
            | b'n'
            | b'N'
            | b'l'
            | b'L'
            | b's'
            | b'S'
            | b'y'
            | b'Y'
            | b'v'
            | b'V'
            | b'c'
            | b'C'
            | 0x8c
    ) {
        return None;
    }
    NAMES.iter().find_map(|name| {
        let end = &named[named.len().checked_sub(name.len())?..];
        end.eq_ignore_ascii_case(name).then_some(end)
    })
}

/// The value that begins at `start`: what stands in quotes, or else one word.
fn value(bytes: &[u8], start: usize) -> (usize, usize) {
    let escapes = usize::from(bytes.get(start) == Some(&b'\\'));
    if let Some(quote @ (b'"' | b'\'')) = bytes.get(start + escapes).copied() {
        let start = start + escapes + 1;
        return (start, start + quoted_bytes(&bytes[start..], quote, escapes > 0));
    }
    let mut end = start + word_bytes(&bytes[start..]);
    let word = &bytes[start..end];
    if SCHEMES.iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
        && bytes.get(end) == Some(&b' ')
    {
        end += 1;
        end += word_bytes(&bytes[end..]);
    }
    (start, end)
}

fn word_bytes(bytes: &[u8]) -> usize {
    let is_word = |byte: &&u8| !byte.is_ascii_whitespace() && !b",;&)}]\"'<>|\\".contains(byte);
    bytes.iter().take_while(is_word).count()
}

/// Bytes until the closing quote, or all. Inside quotes that are escaped themselves, as in JSON
/// within JSON, any quote closes.
fn quoted_bytes(bytes: &[u8], quote: u8, is_escaped: bool) -> usize {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' if is_escaped && bytes.get(at + 1) == Some(&quote) => return at,
            b'\\' if !is_escaped => at += 1,
            byte if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::super::built_in::{BuiltIn, Rules};
    use super::super::free_text::scrub;

    #[test]
    fn secrets_with_a_name_are_replaced() {
        for (text, expected) in [
            ("password=hunter2", "password=[redacted]"),
            ("User Id=sa;Password=pw;Timeout=1", "User Id=sa;Password=[redacted];Timeout=1"),
            ("/cb?code=1&access_token=ab.c&x=1", "/cb?code=1&access_token=[redacted]&x=1"),
            (r#"{"login":"a","password":"x y"}"#, r#"{"login":"a","password":"[redacted]"}"#),
            (r#"{"password": "a\"b", "x": 1}"#, r#"{"password": "[redacted]", "x": 1}"#),
            (r#"{\"password\":\"x\",\"y\":1}"#, r#"{\"password\":\"[redacted]\",\"y\":1}"#),
            ("client_secret: abc", "client_secret: [redacted]"),
            ("'api_key' => 'k1'", "'api_key' => '[redacted]'"),
            ("X-API-Key: k1", "X-API-Key: [redacted]"),
            ("token=abc", "token=[redacted]"),
            ("token: abc1 refused", "token: [redacted] refused"),
            ("token:abc", "token:[redacted]"),
            ("authorization: Bearer abc refused", "authorization: Bearer [redacted] refused"),
            ("authorization=Bearer abc refused", "authorization=[redacted] refused"),
            ("пароль: кот", "пароль: [redacted]"),
            ("Пароль=кот", "Пароль=[redacted]"),
            ("cvv=123", "cvv=[redacted]"),
            ("password='never closed", "password='[redacted]"),
            ("PASSWORD=a,password=b", "PASSWORD=[redacted],password=[redacted]"),
        ] {
            let scrubbed = scrub(text, Rules::ALL);
            assert_eq!(scrubbed.as_deref(), Some(expected), "{text}");
            assert_eq!(scrub(expected, Rules::ALL), None, "twice: {text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "unexpected token: end of file",
            "invalid credentials: try again",
            "token=null",
            "password=",
            "password:",
            "password: ",
            "max_tokens=5",
            "password_reset=1",
            "the password is wrong",
            "monkey: 5",
            "turnkey=yes",
            "12:30:01",
            "=",
            ":",
            "=password",
        ] {
            assert_eq!(scrub(text, Rules::ALL), None, "{text}");
        }
        let off = Rules::ALL.without(Rules::only(BuiltIn::Secret));
        assert_eq!(scrub("password=hunter2", off), None);
        assert!(scrub("password=hunter2", Rules::only(BuiltIn::Secret)).is_some());
    }
}
