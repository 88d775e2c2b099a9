//! What the engine remembers of inserts, mended before it starts.
//!
//! A table notes the token of an insert in its log of deduplication, and then puts the part in
//! place (`MergeTreeSink`: the part is committed after `MergeTreeDeduplicationLog::addPart`). Killed
//! between the two, it would take the repeat of the insert for done, and the rows would be nowhere.
//! The log is not synced either: after a loss of power its end may be torn, or zeros, and what is
//! appended behind that is not read at the next start. So a note whose part is not there goes, and
//! whatever is no whole note.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Beside the parts of a table.
const LOGS: &str = "deduplication_logs";
/// A log in the making; beside no logs, whose every name must bear a number.
const DRAFT: &str = "deduplication_log.draft";
/// The engine's marks: an insert, and an insert taken back after all.
const ADDED: &str = "1";
const CANCELLED: &str = "3";

/// A part by its name: `<partition>_<first block>_<last block>_<level>`, and perhaps a mutation.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    partition: &'a str,
    first: u64,
    last: u64,
}

impl<'a> Part<'a> {
    fn named(name: &'a str) -> Option<Self> {
        let words: Vec<&str> = name.split('_').collect();
        let ([partition, first, last, level] | [partition, first, last, level, _]) = words[..]
        else {
            return None;
        };
        level.parse::<u32>().ok()?;
        Some(Self { partition, first: first.parse().ok()?, last: last.parse().ok()? })
    }

    /// Whether what was in `other` is in this part, by itself or merged.
    fn holds(&self, other: &Self) -> bool {
        self.partition == other.partition && self.first <= other.first && other.last <= self.last
    }
}

/// Mends the logs of every table in the data folder; how many notes went.
///
/// # Errors
/// A log cannot be read or written.
pub(crate) fn mend(data: &Path) -> io::Result<usize> {
    let mut gone = 0;
    for group in folders(&data.join("store"))? {
        for table in folders(&group)? {
            let logs = table.join(LOGS);
            if !logs.is_dir() {
                continue;
            }
            let names: Vec<String> = folders(&table)?
                .iter()
                .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
                .collect();
            let parts: Vec<Part<'_>> = names.iter().filter_map(|name| Part::named(name)).collect();
            gone += mend_table(data, &logs, &parts)?;
        }
    }
    Ok(gone)
}

fn mend_table(data: &Path, logs: &Path, parts: &[Part<'_>]) -> io::Result<usize> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        texts.push((path, bytes));
    }
    let cancelled: HashSet<Vec<u8>> = texts
        .iter()
        .flat_map(|(_, bytes)| bytes.split(|byte| *byte == b'\n'))
        .filter_map(|line| Note::read(line).filter(|note| note.mark == CANCELLED))
        .map(|note| note.token.as_bytes().to_vec())
        .collect();
    let mut gone = 0;
    for (path, bytes) in &texts {
        let (kept, dropped) = kept(bytes, parts, &cancelled);
        if kept == *bytes {
            continue;
        }
        gone += dropped;
        let draft = data.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(&kept)?;
        file.sync_all()?;
        fs::rename(draft, path)?;
        File::open(logs)?.sync_all()?;
    }
    Ok(gone)
}

/// One line of a log.
struct Note<'a> {
    mark: &'a str,
    part: Part<'a>,
    token: &'a str,
}

impl<'a> Note<'a> {
    fn read(line: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(line).ok()?.splitn(3, '\t');
        let (mark, part, token) = (words.next()?, words.next()?, words.next()?);
        mark.parse::<u8>().ok()?;
        // A note that was cut off and appended to looks like one whose token has a tab.
        let whole = !token.is_empty() && !token.contains(['\0', '\t']);
        whole.then_some(Self { mark, part: Part::named(part)?, token })
    }
}

/// The log without what must not stay, and how many lines that were.
fn kept(bytes: &[u8], parts: &[Part<'_>], cancelled: &HashSet<Vec<u8>>) -> (Vec<u8>, usize) {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut dropped = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let note = line.strip_suffix(b"\n").and_then(Note::read);
        let stays = note.is_some_and(|note| {
            // The engine cancels the note before it: both stay, or a third one would go.
            note.mark != ADDED
                || cancelled.contains(note.token.as_bytes())
                || parts.iter().any(|part| part.holds(&note.part))
        });
        if stays {
            kept.extend_from_slice(line);
        } else {
            dropped += 1;
        }
    }
    (kept, dropped)
}

/// The folders in a folder; none where there is none.
fn folders(path: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    Ok(paths?.into_iter().filter(|path| path.is_dir()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_without_their_part_go_and_those_of_merged_parts_stay() {
        let parts =
            ["all_2_5_1", "202611_1_1_0", "all_9_9_0_12"].map(|name| Part::named(name).unwrap());
        let cases: [(&str, &str); 10] = [
            ("1\tall_2_2_0\ta\n1\tall_4_4_0\tb\n", "1\tall_2_2_0\ta\n1\tall_4_4_0\tb\n"),
            ("1\tall_2_2_0\ta\n1\tall_6_6_0\tb\n", "1\tall_2_2_0\ta\n"),
            ("1\t202611_1_1_0\ta\n1\t202612_1_1_0\tb\n", "1\t202611_1_1_0\ta\n"),
            ("1\tall_9_9_0\ta\n", "1\tall_9_9_0\ta\n"),
            // Torn, and appended to.
            ("1\tall_2_2_0\ta\n1\tall_3_3", "1\tall_2_2_0\ta\n"),
            ("1\tall_2_2_0\ta\n1\tall_3_3_0\t", "1\tall_2_2_0\ta\n"),
            ("1\tall_2_2_0\ta1\tall_3_3_0\tb\n1\tall_4_4_0\tc\n", "1\tall_4_4_0\tc\n"),
            ("1\tall_2_2_0\ta\n\0\0\0\0\n1\tall_3_3_0\tb\n", "1\tall_2_2_0\ta\n1\tall_3_3_0\tb\n"),
            // What was dropped, and what was taken back.
            ("1\tall_7_7_0\ta\n2\tall_7_7_0\ta\n", "2\tall_7_7_0\ta\n"),
            ("1\tall_7_7_0\ta\n3\tall_7_7_0\ta\n", "1\tall_7_7_0\ta\n3\tall_7_7_0\ta\n"),
        ];
        for (log, expected) in cases {
            let cancelled = log
                .lines()
                .filter_map(|line| line.strip_prefix("3\tall_7_7_0\t"))
                .map(|token| token.as_bytes().to_vec())
                .collect();
            let (kept, dropped) = kept(log.as_bytes(), &parts, &cancelled);
            assert_eq!(String::from_utf8(kept).unwrap(), expected, "{log:?}");
            assert_eq!(dropped, log.split_inclusive('\n').count() - expected.lines().count());
        }
    }

    #[test]
    fn the_log_of_a_table_is_written_anew_only_where_it_must_be() {
        let data = tempfile::tempdir().unwrap();
        let table = data.path().join("store/abc/abcdef");
        fs::create_dir_all(table.join("all_1_1_0")).unwrap();
        fs::create_dir_all(table.join("tmp_insert_all_2_2_0")).unwrap();
        fs::create_dir_all(table.join(LOGS)).unwrap();
        let log = table.join(LOGS).join("deduplication_log_1.txt");
        fs::write(&log, "1\tall_1_1_0\ta\n1\tall_2_2_0\tb\n").unwrap();
        assert_eq!(mend(data.path()).unwrap(), 1);
        assert_eq!(fs::read_to_string(&log).unwrap(), "1\tall_1_1_0\ta\n");
        assert_eq!(mend(data.path()).unwrap(), 0);
        assert_eq!(fs::read_dir(table.join(LOGS)).unwrap().count(), 1);
    }
}
