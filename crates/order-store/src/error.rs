//! What can go wrong with the store, and whether to try again.

/// An operation on the store failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct StoreError {
    doing: &'static str,
    #[source]
    source: clickhouse::error::Error,
}

/// Exception codes of ClickHouse that pass by themselves: too many queries or parts, memory,
/// time-outs, a read-only or overloaded server, no replica that answers or is fresh, a network fault
/// behind it.
const PASSING_CODES: [u32; 12] = [159, 202, 209, 210, 241, 242, 243, 252, 279, 319, 369, 999];

/// Codes by which the store says that what it was given is at fault, and not itself: rows that it
/// cannot read (26, 27, 33, 38, 41, 72, 117, 190), values that do not fit (53, 69, 70, 128, 131, 321,
/// 349, 407), that a constraint refuses (469). Whatever else it says may pass, or be mended.
const DATA_CODES: [u32; 17] =
    [26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 128, 131, 190, 321, 349, 407, 469];

/// Codes by which it says that there is too much of it in one statement: the embedded engine's
/// bound on a body (229), rows or bytes past a limit (158, 307, 396).
const SIZE_CODES: [u32; 4] = [158, 229, 307, 396];

/// The code of a statement that found no memory: it may pass, or the statement may be too large.
const MEMORY_CODE: u32 = 241;

/// What a proxy in front of the store says in place of a code: the standard's words for status
/// 413, of now and before, and those of common proxies. The client hides the status when there is
/// a body.
const SIZE_WORDS: [&str; 5] = [
    "content too large",
    "payload too large",
    "entity too large",
    "body too large",
    "length limit exceeded",
];

/// Whose fault it is that the store did not take what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The store's, or of the way to it: the same may be taken later.
    Passing,
    /// There was no memory for it: it may be taken later, or in parts.
    Memory,
    /// It is too large, for the store or for a proxy before it: it may be taken in parts.
    TooLarge,
    /// The data's: nothing but another store, or other data, will change that.
    Data,
}

impl StoreError {
    /// For `map_err`: what was being done, as an infinitive ("insert spans").
    pub(crate) fn doing(doing: &'static str) -> impl FnOnce(clickhouse::error::Error) -> Self {
        move |source| Self { doing, source }
    }

    /// What was written for the store cannot be read.
    pub(crate) fn of_record(bad: crate::record::BadRecord) -> Self {
        Self { doing: "read records", source: clickhouse::error::Error::Custom(bad.to_string()) }
    }

    /// Whether the same operation may succeed later without anybody changing it. A store that
    /// cannot be reached, a time-out and an overload are; a bad statement is not.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use clickhouse::error::Error;
        match &self.source {
            Error::Network(_) | Error::TimedOut | Error::Other(_) => true,
            Error::BadResponse(text) => {
                code_of(text).is_none_or(|code| PASSING_CODES.contains(&code))
            }
            _ => false,
        }
    }

    /// Whose fault it is, of rows that were not taken. Whatever is in doubt passes: nothing is
    /// given up for it.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let clickhouse::error::Error::BadResponse(text) = &self.source else {
            return Fault::Passing;
        };
        match code_of(text) {
            Some(MEMORY_CODE) => Fault::Memory,
            Some(code) if SIZE_CODES.contains(&code) => Fault::TooLarge,
            Some(code) if DATA_CODES.contains(&code) => Fault::Data,
            None if says_too_large(text) => Fault::TooLarge,
            Some(_) | None => Fault::Passing,
        }
    }

    /// Whether the store blames what it was given: [`Fault::Data`].
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        self.fault() == Fault::Data
    }

    /// Whether the store could not be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        use clickhouse::error::Error;
        matches!(&self.source, Error::Network(_) | Error::TimedOut)
    }
}

fn says_too_large(text: &str) -> bool {
    let text = text.to_lowercase();
    SIZE_WORDS.iter().any(|words| text.contains(words))
}

/// The exception code of `Code: 241. DB::Exception: …`.
fn code_of(text: &str) -> Option<u32> {
    let after = text.split("Code: ").nth(1)?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use clickhouse::error::Error;

    use super::*;

    #[test]
    fn passing_troubles_are_told_from_mistakes() {
        let nginx = "<html><head><title>413 Request Entity Too Large</title></head></html>";
        let bad = |text: &str| Error::BadResponse(text.to_owned());
        let cases = [
            (Error::TimedOut, true, Fault::Passing),
            (bad("Code: 241. DB::Exception: memory"), true, Fault::Memory),
            (bad("Code: 60. DB::Exception: no such table"), false, Fault::Passing),
            (bad("Code: 1001. DB::Exception: std::exception"), false, Fault::Passing),
            (bad("Code: 469. DB::Exception: constraint"), false, Fault::Data),
            // The store's own words come first.
            (bad("Code: 469. DB::Exception: payload too large"), false, Fault::Data),
            (bad("Code: 229. DB::Exception: more than 100 bytes"), false, Fault::TooLarge),
            (bad("Code: 307. DB::Exception: limit on bytes"), false, Fault::TooLarge),
            (bad("413 Payload Too Large"), true, Fault::TooLarge),
            (bad("413 Content Too Large"), true, Fault::TooLarge),
            (bad(nginx), true, Fault::TooLarge),
            (bad("502 Bad Gateway"), true, Fault::Passing),
            (bad("after 413 ms upstream was gone"), true, Fault::Passing),
            (Error::SchemaMismatch("x".into()), false, Fault::Passing),
        ];
        for (source, passes, fault) in cases {
            let error = StoreError { doing: "insert spans", source };
            assert_eq!(error.is_retryable(), passes, "{error:?}");
            assert_eq!(error.fault(), fault, "{error:?}");
        }
    }
}
