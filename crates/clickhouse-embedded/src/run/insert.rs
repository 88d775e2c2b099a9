//! An INSERT whose data follows: streamed into the engine, committed only when it is whole.
//!
//! A body that ends too early cancels the insert; what the engine has not yet made a block of is
//! not inserted. A client that wants one block, and so all or nothing, says so with
//! `max_insert_block_size` and `min_insert_block_size_rows`.

use std::io::Read;

use super::text::{Text, unreadable};
use crate::exception::Exception;
use crate::ffi::{Connection, Statistics};
use crate::request::Request;
use crate::statement::insert::Source;

/// What is handed to the engine at once.
const APPEND_BYTES: usize = 256 << 10;

/// Runs the INSERT with the data in `text`.
///
/// # Errors
/// The engine's, or the body's.
pub(super) fn run(
    connection: &mut Connection,
    request: &Request,
    mut text: Text,
    format: &str,
) -> Result<Statistics, Exception> {
    let head_end = match text.insert().map(|insert| &insert.source) {
        Some(Source::Format { head_end, .. } | Source::Values { head_end, .. }) => *head_end,
        _ => text.statement().len(),
    };
    let head = text.statement().get(..head_end).unwrap_or_default().to_vec();
    let mut stream = connection.insert(&head, format, &request.parameters)?;
    let mut buffer = vec![0; APPEND_BYTES];
    loop {
        let filled = fill(&mut text.data, &mut buffer)?;
        match buffer.get(..filled) {
            None | Some([]) => break,
            Some(part) => stream.append(part)?,
        }
    }
    Ok(stream.finish()?.statistics)
}

/// Fills the buffer as far as the data goes.
fn fill(data: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, Exception> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match data.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
    Ok(filled)
}
