//! The log of queries: one JSON object per line, in a file that is rotated.
//!
//! The engine's own `system.query_log` is not in the library. Literals are taken out of the
//! text, and parameters are not written: neither secrets nor customers' data get here. A table
//! of the engine was not chosen, so that the log tells of a broken engine, too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use serde_json::json;

use crate::ffi::Statistics;
use crate::statement::lexer::{Kind, Lexer};

/// Entries that wait for the disk; past them an entry is dropped, and counted.
const WAITING_MAX: usize = 4096;
/// Bytes of a statement that are written.
const STATEMENT_BYTES_MAX: usize = 4096;

/// How long the stop waits for the file.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// One finished query.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// The query's id.
    pub(crate) query_id: String,
    /// Who asked.
    pub(crate) user: String,
    /// The statement, literals and all; they are taken out before it is written.
    pub(crate) statement: Vec<u8>,
    /// The engine's class of it.
    pub(crate) class: Option<u32>,
    /// Milliseconds from the request's admission to its end.
    pub(crate) duration_ms: u64,
    /// The engine's figures.
    pub(crate) statistics: Statistics,
    /// Bytes of the result before coding.
    pub(crate) answer_bytes: u64,
    /// ClickHouse's code of the error; 0 when all went well.
    pub(crate) exception_code: u16,
}

enum Message {
    Entry(Box<Entry>),
    Flush(SyncSender<()>),
}

/// Takes entries and never waits.
#[derive(Debug, Clone)]
pub(crate) struct QueryLog {
    messages: SyncSender<Message>,
    dropped: Counter,
}

impl QueryLog {
    /// Opens the file and starts the thread that writes it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(path: &Path, bytes_max: u64, dropped: Counter) -> io::Result<Self> {
        let mut file = Rotated::open(path, bytes_max)?;
        let (messages, waiting): (_, Receiver<Message>) = sync_channel(WAITING_MAX);
        let unwritten = dropped.clone();
        std::thread::Builder::new().name("query-log".to_owned()).spawn(move || {
            // Said once until it is over: a full disk refuses every line.
            let mut is_refused = false;
            for message in waiting {
                let entry = match message {
                    Message::Entry(entry) => entry,
                    Message::Flush(done) => {
                        // Nobody waits any more: then there is nobody to tell.
                        let _ = done.send(());
                        continue;
                    }
                };
                let written = file.write(&line(&entry, SystemTime::now()));
                match &written {
                    Err(error) if !is_refused => {
                        tracing::warn!(%error, "the log of queries cannot be written");
                    }
                    Ok(()) if is_refused => tracing::info!("the log of queries is written again"),
                    _ => {}
                }
                is_refused = written.is_err();
                if is_refused {
                    unwritten.inc();
                }
            }
        })?;
        Ok(Self { messages, dropped })
    }

    /// Hands an entry over; dropped and counted when the disk is behind.
    pub(crate) fn write(&self, entry: Entry) {
        let message = Message::Entry(Box::new(entry));
        if let Err(TrySendError::Full(_)) = self.messages.try_send(message) {
            self.dropped.inc();
        }
    }
}

impl QueryLog {
    /// Waits until what was handed over so far is in the file, or for a second.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.messages.send(Message::Flush(done)).is_ok() {
            // A disk that takes longer than this would hold up the stop.
            let _ = written.recv_timeout(FLUSH_MAX);
        }
    }
}

fn line(entry: &Entry, now: SystemTime) -> String {
    let time_ms = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let statistics = &entry.statistics;
    let object = json!({
        "time_ms": u64::try_from(time_ms).unwrap_or(u64::MAX),
        "query_id": entry.query_id,
        "user": entry.user,
        "class": entry.class,
        "duration_ms": entry.duration_ms,
        "read_rows": statistics.read_rows,
        "read_bytes": statistics.read_bytes,
        "written_rows": statistics.written_rows,
        "written_bytes": statistics.written_bytes,
        "result_rows": statistics.result_rows,
        "answer_bytes": entry.answer_bytes,
        "exception_code": entry.exception_code,
        "query": without_literals(&entry.statement),
    });
    format!("{object}\n")
}

/// The statement with `?` for every literal, cut at the bound.
pub(crate) fn without_literals(statement: &[u8]) -> String {
    let mut text = String::new();
    let mut last_end = 0;
    for token in Lexer::new(statement) {
        if token.start > last_end && !text.is_empty() {
            text.push(' ');
        }
        match token.kind {
            Kind::Text | Kind::Number | Kind::Odd => text.push('?'),
            _ => text.push_str(&token.text()),
        }
        last_end = token.end;
        if text.len() > STATEMENT_BYTES_MAX {
            text.push('…');
            break;
        }
    }
    text
}

#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl Rotated {
    fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_path_buf(), file, bytes, bytes_max })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&self.path, old)?;
            *self = Self::open(&self.path, self.bytes_max)?;
        }
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_taken_out() {
        let statement = b"SELECT a FROM t WHERE name = 'Ivanova' -- 'x'\n AND n > 17 AND $$y$$ = b";
        let expected = "SELECT a FROM t WHERE name = ? AND n > ? AND ? = b";
        assert_eq!(without_literals(statement), expected);
        assert!(without_literals(&b"a ".repeat(9000)).len() < STATEMENT_BYTES_MAX + 10);
    }

    #[test]
    fn the_file_is_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.jsonl");
        let mut file = Rotated::open(&path, 10).unwrap();
        for text in ["12345\n", "1234\n", "new\n"] {
            file.write(text).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "1234\nnew\n");
        assert_eq!(fs::read_to_string(folder.path().join("q.jsonl.1")).unwrap(), "12345\n");
    }
}
