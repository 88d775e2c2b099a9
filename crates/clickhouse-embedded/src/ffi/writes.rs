//! The engine's writes, looked after: a write that fails becomes an error that the engine sees.
//!
//! libchdb does not look at what `write` answers. Where ClickHouse throws, its
//! `WriteBufferFromFileDescriptor::nextImpl` just goes on (chdb-core, `src/IO/`: the throw is
//! commented out, 26.7.2.1). On a full disk it would put parts with empty files in place,
//! acknowledge inserts, remove the sources of merges, and at its next start set those parts aside:
//! acknowledged rows were lost so in half a minute, with nothing killed.
//!
//! It does look at what `fsync`, `fdatasync` and `rename` answer. So this program exports these four
//! functions under their own names, before those of the C library: a failed write is remembered
//! ([`torn`](crate::torn)), and the next sync or rename that concerns the file fails with its error.
//! Inserts into tables with `fsync_after_insert` end so before the engine notes their token, and those
//! into others end the process, as by `kill -9`: its folder opens again without what was unfinished.
//! An intermediate result is removed, so that whoever comes to read it fails.
//!
//! Two things are left as they are. The engine appends to its logs of deduplication and does not sync
//! them: a note that does not fit is missing after the next start, as after a loss of power, and a
//! repeat of that insert is stored once more, as rows of one identity. And `renameat2` by number, with
//! which it puts a definition in place, comes not by here: definitions are synced before, and nobody
//! may turn that off (`fsync_metadata`).

use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_void};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use daemon::settings::EXIT_OS;

use crate::torn::{self, Consequence};

#[cfg(not(target_os = "linux"))]
compile_error!("the engine's writes are looked after by Linux's system calls alone");

/// The functions that the engine must find here, by the names that it looks for.
pub(super) fn ours() -> [(&'static str, usize); 4] {
    [
        ("write", write as *const () as usize),
        ("fsync", fsync as *const () as usize),
        ("fdatasync", fdatasync as *const () as usize),
        ("rename", rename as *const () as usize),
    ]
}

/// Errors of a write that is no failure of a disk.
const NO_FAILURES: [c_int; 4] = [libc::EINTR, libc::EAGAIN, libc::EBADF, libc::EFAULT];

/// `write(2)`.
///
/// # Safety
/// `bytes` points to `count` readable bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    // SAFETY: the arguments are those of the system call, which checks them.
    let written = unsafe { libc::syscall(libc::SYS_write, file, bytes, count) };
    if written < 0 {
        let error = errno();
        if !NO_FAILURES.contains(&error) {
            // SAFETY: the kernel took it for an open file, and the caller holds it open.
            failed(unsafe { BorrowedFd::borrow_raw(file) }, error);
            set_errno(error);
        }
    }
    answer(written)
}

/// `fsync(2)`.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(file, libc::SYS_fsync)
}

/// `fdatasync(2)`.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file, libc::SYS_fdatasync)
}

fn sync(file: c_int, call: c_long) -> c_int {
    // SAFETY: the system call takes a number and checks it.
    let done = unsafe { libc::syscall(call, file) };
    if done == 0
        // SAFETY: the kernel took it for an open file, and the caller holds it open.
        && let Some(error) = torn::of_sync(unsafe { BorrowedFd::borrow_raw(file) })
    {
        tracing::debug!(file, "a sync fails for a write that did");
        set_errno(error);
        return -1;
    }
    if done == 0 { 0 } else { -1 }
}

/// `rename(2)`.
///
/// # Safety
/// Both are C strings.
#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: by the contract above.
    let [path, new] = [from, to]
        .map(|path| Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes())));
    if let Some(refusal) = torn::of_rename(path, new) {
        if refusal.is_noted {
            end(path, refusal.error);
        }
        tracing::debug!(path = %path.display(), "a rename fails for a write that did");
        set_errno(refusal.error);
        return -1;
    }
    let here = libc::AT_FDCWD;
    // SAFETY: both are C strings, which the system call takes.
    let done = unsafe { libc::syscall(libc::SYS_renameat2, here, from, here, to, 0) };
    if done == 0 { 0 } else { -1 }
}

fn failed(file: BorrowedFd<'_>, error: c_int) {
    match torn::failed(file, error) {
        Consequence::Nothing => {}
        Consequence::Told(path) => tracing::warn!(
            path = %path.display(),
            error = %std::io::Error::from_raw_os_error(error),
            "a write failed; what it belongs to is given up"
        ),
        Consequence::End(path) => end(&path, error),
    }
}

/// Ends the process: going on would take what is torn for whole.
fn end(path: &Path, error: c_int) -> ! {
    tracing::error!(
        path = %path.display(),
        error = %std::io::Error::from_raw_os_error(error),
        "a write failed, and the engine cannot be told; make room, and start again"
    );
    super::exit_at_once(EXIT_OS)
}

fn answer(written: c_long) -> isize {
    isize::try_from(written).unwrap_or(-1)
}

fn errno() -> c_int {
    // SAFETY: the C library gives each thread a number of its own.
    unsafe { *libc::__errno_location() }
}

fn set_errno(error: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = error };
}
