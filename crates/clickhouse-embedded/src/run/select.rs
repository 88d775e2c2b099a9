//! A reading statement: its result goes through a pipe, so that memory stays bounded.
//!
//! The engine's own streaming call makes a whole document of every chunk, with headers and all;
//! `INTO OUTFILE` to a pipe is right for every format and as fast.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::answer::Sink;
use crate::engine::Engine;
use crate::exception::{Code, Exception};
use crate::ffi::{Connection, Statistics};
use crate::request::Request;
use crate::statement::output::Output;

/// What a pipe holds: the most an unprivileged process may ask for.
const PIPE_BYTES: usize = 1 << 20;
/// What is read from the pipe at once.
const READ_BYTES: usize = 256 << 10;

/// Runs the statement; its result goes into `sink` as it comes.
///
/// # Errors
/// The engine's, or that the client has left.
pub(super) fn run(
    engine: &Engine,
    connection: &mut Connection,
    request: &Request,
    output: &Output,
    sql: &[u8],
    format: &str,
    sink: &mut Sink,
) -> Result<Statistics, Exception> {
    let no_pipe = |error| Exception::new(Code::Aborted, format!("Cannot make a pipe: {error}"));
    let (read_end, write_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
    // Refused when the user's pipes together are too large; the default size does, too.
    let _ = fcntl_setpipe_size(&write_end, PIPE_BYTES);
    let sql = output.to_descriptor(sql, write_end.as_raw_fd(), format);
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let pump = scope.spawn(move || {
            let _entered = runtime.enter();
            let pumped = pump(File::from(read_end), sink);
            if pumped.is_err() {
                // A broken pipe alone does not end a query that formats in parallel: it goes on
                // to its last row.
                if let Err(exception) = engine.cancel(&request.query_id) {
                    tracing::warn!(query_id = request.query_id, %exception, "cannot cancel");
                }
            }
            pumped
        });
        let outcome = connection.query(&sql, format, &request.parameters);
        drop(write_end);
        let pumped = pump.join().map_err(|_| Exception::new(Code::Aborted, "The pump broke"))?;
        // When the pump gave up, the engine's error is only its echo.
        pumped?;
        Ok(outcome?.statistics)
    })
}

fn pump(mut pipe: File, sink: &mut Sink) -> Result<(), Exception> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let broken =
            |error| Exception::new(Code::Aborted, format!("Cannot read the pipe: {error}"));
        let count = pipe.read(&mut buffer).map_err(broken)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(()),
            Some(part) => sink.write(part)?,
        }
    }
}
