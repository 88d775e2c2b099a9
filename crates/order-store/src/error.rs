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

    /// Whether the store blames what it was given. Nothing but another store, or other data, will
    /// change that; everything else is to be tried again.
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        match &self.source {
            clickhouse::error::Error::BadResponse(text) => {
                code_of(text).is_some_and(|code| DATA_CODES.contains(&code))
            }
            _ => false,
        }
    }

    /// Whether the store could not be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        use clickhouse::error::Error;
        matches!(&self.source, Error::Network(_) | Error::TimedOut)
    }
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
        let cases = [
            (Error::TimedOut, true, false),
            (Error::BadResponse("Code: 241. DB::Exception: memory".into()), true, false),
            (Error::BadResponse("Code: 60. DB::Exception: no such table".into()), false, false),
            (Error::BadResponse("Code: 1001. DB::Exception: std::exception".into()), false, false),
            (Error::BadResponse("Code: 469. DB::Exception: constraint".into()), false, true),
            (Error::BadResponse("502 Bad Gateway".into()), true, false),
            (Error::SchemaMismatch("x".into()), false, false),
        ];
        for (source, passes, of_the_data) in cases {
            let error = StoreError { doing: "insert spans", source };
            assert_eq!(error.is_retryable(), passes, "{error:?}");
            assert_eq!(error.is_of_the_data(), of_the_data, "{error:?}");
        }
    }
}
