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

/// Codes by which the store refuses everybody: columns, tables, databases that are not there (10, 16,
/// 47, 60, 81), read-only (164, 242), unknown users, passwords, rights (192 to 194, 497, 516), no
/// space (243).
const STORE_CODES: [u32; 13] = [10, 16, 47, 60, 81, 164, 192, 193, 194, 242, 243, 497, 516];

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

    /// Whether the store refuses everybody alike: tables that are not there, a user that may not,
    /// a server that takes nothing. Then nothing is wrong with what was asked.
    #[must_use]
    pub fn is_of_the_store(&self) -> bool {
        match &self.source {
            clickhouse::error::Error::SchemaMismatch(_) => true,
            clickhouse::error::Error::BadResponse(text) => {
                code_of(text).is_some_and(|code| STORE_CODES.contains(&code))
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
            (Error::TimedOut, true),
            (Error::BadResponse("Code: 241. DB::Exception: memory".into()), true),
            (Error::BadResponse("Code: 60. DB::Exception: no such table".into()), false),
            (Error::BadResponse("502 Bad Gateway".into()), true),
            (Error::SchemaMismatch("x".into()), false),
        ];
        for (source, expected) in cases {
            let error = StoreError { doing: "insert spans", source };
            assert_eq!(error.is_retryable(), expected, "{error:?}");
        }
    }
}
