//! Room for definitions: statements that write one are refused before the disk is full.
//!
//! Writes that fail are told to the engine (`ffi/writes.rs`), so that a definition stays whole on a
//! full disk; but only when the statement is half done, and in words of a file. Rows that do not
//! fit are refused by the engine itself.

use std::path::Path;

use crate::exception::{Code, Exception};
use crate::statement::lexer::Lexer;

/// Free bytes below which no definition is written; definitions are a few kilobytes, and inserts of
/// the same moment may take much more.
const FREE_BYTES_MIN: u64 = 16 << 20;
/// The first words of statements that write a definition. `DROP` makes room.
const DEFINING: [&str; 7] =
    ["CREATE", "ALTER", "RENAME", "EXCHANGE", "ATTACH", "REPLACE", "UNDROP"];

/// Refuses a statement that writes a definition where there may be no room for it.
///
/// # Errors
/// 243 (`NOT_ENOUGH_SPACE`), as the engine says for rows.
pub(crate) fn check(sql: &[u8], data: &Path) -> Result<(), Exception> {
    if !defines(sql) {
        return Ok(());
    }
    // A disk that does not tell is not thought full.
    let Ok(disk) = rustix::fs::statvfs(data) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < FREE_BYTES_MIN {
        let message = format!(
            "{free} bytes are free, not enough space to change a definition safely \
             ({FREE_BYTES_MIN} bytes)"
        );
        return Err(Exception::new(Code::NotEnoughSpace, message));
    }
    Ok(())
}

/// Whether the statement makes a backup.
pub(crate) fn backs_up(sql: &[u8]) -> bool {
    Lexer::new(sql).next().is_some_and(|token| token.is_word("BACKUP"))
}

fn defines(sql: &[u8]) -> bool {
    let first = Lexer::new(sql).next();
    first.is_some_and(|token| DEFINING.iter().any(|word| token.is_word(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_write_a_definition_are_known_by_their_first_word() {
        let cases = [
            ("ALTER TABLE t MODIFY SETTING a = 1", true),
            ("  /* why */ create table t (a Int8) ENGINE = Memory", true),
            ("DROP TABLE t", false),
            ("SELECT 'ALTER'", false),
            ("INSERT INTO t FORMAT RowBinary\n", false),
            ("", false),
        ];
        for (sql, expected) in cases {
            assert_eq!(defines(sql.as_bytes()), expected, "{sql}");
        }
    }
}
