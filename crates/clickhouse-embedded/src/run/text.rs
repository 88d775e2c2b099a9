//! The statement of a request and, behind it, the data of an INSERT still to be read.

use std::io::{self, Cursor, Read};

use crate::exception::{Code, Exception};
use crate::settings::Limits;
use crate::statement::insert::{self, Insert, Source};
use crate::statement::lexer::Lexer;

/// A request's statement, and what is left of its body.
pub(crate) struct Text {
    /// The statement; of an INSERT with data, up to where the data begins.
    statement: Vec<u8>,
    insert: Option<Insert>,
    /// The data of an INSERT: what was read with the statement, then the rest of the body.
    pub(super) data: Box<dyn Read + Send>,
}

impl Text {
    /// Puts the text of the URL and the body together: the body is the text, follows the text,
    /// or is the data of its INSERT.
    ///
    /// # Errors
    /// 229 when the text is too long; the body's own.
    pub(crate) fn read(
        url: &str,
        body: Box<dyn Read + Send>,
        limits: &Limits,
    ) -> Result<Self, Exception> {
        let body: Box<dyn Read + Send> = Box::new(Bounded { body, left: limits.body_bytes_max });
        if let Some(insert) = insert::parse(url.as_bytes()).filter(takes_data) {
            let (head, data) = split(url.as_bytes(), &insert);
            let data = Cursor::new(data.to_vec()).chain(body);
            let statement = head.to_vec();
            return Ok(Self { statement, insert: Some(insert), data: Box::new(data) });
        }
        let mut text = url.as_bytes().to_vec();
        if !text.is_empty() {
            text.push(b'\n');
        }
        let max = limits.query_bytes_max;
        let mut body = body;
        let room = (max + 1).saturating_sub(text.len()) as u64;
        (&mut body).take(room).read_to_end(&mut text).map_err(|error| unreadable(&error))?;
        let insert = insert::parse(&text).filter(|insert| takes_data(insert) || text.len() <= max);
        if text.len() > max && insert.is_none() {
            let message = format!("Max query size exceeded: {max} bytes");
            return Err(Exception::new(Code::QueryIsTooLarge, message));
        }
        let Some(insert) = insert else {
            return Ok(Self { statement: text, insert: None, data: Box::new(io::empty()) });
        };
        let (head, data) = split(&text, &insert);
        let data = Cursor::new(data.to_vec()).chain(body);
        Ok(Self { statement: head.to_vec(), insert: Some(insert), data: Box::new(data) })
    }

    /// Makes the data part of the statement, for an INSERT whose values hold parameters.
    ///
    /// # Errors
    /// 229 when it is too long; the body's own.
    pub(super) fn join(&mut self, limits: &Limits) -> Result<(), Exception> {
        let max = limits.query_bytes_max;
        let room = (max + 1).saturating_sub(self.statement.len()) as u64;
        let mut data = std::mem::replace(&mut self.data, Box::new(io::empty())).take(room);
        data.read_to_end(&mut self.statement).map_err(|error| unreadable(&error))?;
        self.insert = None;
        if self.statement.len() > max {
            let message = format!("Max query size exceeded: {max} bytes");
            return Err(Exception::new(Code::QueryIsTooLarge, message));
        }
        Ok(())
    }

    /// The statement.
    pub(crate) fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// Whether the statement is a SET.
    pub(super) fn sets(&self) -> bool {
        Lexer::new(&self.statement).next().is_some_and(|first| first.is_word("SET"))
    }

    /// What the statement is as an INSERT.
    pub(crate) fn insert(&self) -> Option<&Insert> {
        self.insert.as_ref()
    }
}

/// Whether data follows the statement.
fn takes_data(insert: &Insert) -> bool {
    matches!(insert.source, Source::Format { .. } | Source::Values { .. })
}

fn split<'a>(text: &'a [u8], insert: &Insert) -> (&'a [u8], &'a [u8]) {
    match &insert.source {
        Source::Format { data_start, .. } | Source::Values { data_start, .. } => {
            text.split_at((*data_start).min(text.len()))
        }
        _ => (text, &[]),
    }
}

/// What an error of the body means to the client.
pub(super) fn unreadable(error: &io::Error) -> Exception {
    let code = match error.kind() {
        io::ErrorKind::FileTooLarge => Code::QueryIsTooLarge,
        io::ErrorKind::UnexpectedEof => Code::CannotReadAllData,
        io::ErrorKind::TimedOut => Code::SocketTimeout,
        io::ErrorKind::ConnectionReset => Code::CannotReadFromSocket,
        _ if error.to_string().starts_with("Checksum") => Code::ChecksumDoesntMatch,
        _ => Code::CannotDecompress,
    };
    Exception::new(code, format!("Cannot read the body: {error}"))
}

/// A body with a bound; past it reading fails.
struct Bounded {
    body: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                let why = "the body is larger than body-bytes-max";
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
            }
        }
        Ok(count)
    }
}
