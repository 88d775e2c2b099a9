//! The C interface of the ClickHouse engine (`libchdb`), made safe. The only unsafe code here.
//!
//! The package brings no header; the functions are those of
//! <https://github.com/chdb-io/chdb-core/blob/main/programs/local/chdb.h> at 26.7. What this
//! module knows: calls, lengths, ownership. What it does not: HTTP, users, guards. The other way,
//! what the engine calls of ours, is in [`writes`].
#![allow(unsafe_code, reason = "the engine is a C library; every call of it is in this file")]

mod writes;

use std::ffi::{CStr, CString, c_char, c_double, c_int, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use crate::exception::Exception;

/// The library could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is missing, not for this machine, or lacks a symbol.
    #[error("cannot load the engine library")]
    Library(#[from] libloading::Error),
    /// This program was linked so that the engine's writes would go past it.
    #[error("the engine's failed writes would be lost: `{0}` is not exported (see build.rs)")]
    Unguarded(&'static str),
}

unsafe extern "C" {
    fn _exit(code: c_int) -> !;
}

/// Ends the process at once. The engine's threads run until the end, and its destructors, which
/// an ordinary exit would run beside them, were seen to crash while a query ran.
pub(crate) fn exit_at_once(code: u8) -> ! {
    // SAFETY: `_exit` takes an int, runs nothing and does not return.
    unsafe { _exit(c_int::from(code)) }
}

type Handle = *mut c_void;

/// Mirrors `chdb_query_analysis_v1`.
#[repr(C)]
#[derive(Debug, Default)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// What the engine's parser says of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// Executable statements; 0 when the text does not parse.
    pub(crate) statements: u32,
    /// `chdb_query_class`: 0 reads, 1 changes a database, 2 changes something global,
    /// 3 controls (SET, SYSTEM, OUTFILE …), 4 unknown.
    pub(crate) class: u32,
}

/// The figures of a finished query.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Statistics {
    /// Seconds in the engine.
    pub(crate) elapsed_s: f64,
    /// Rows of the result.
    pub(crate) result_rows: u64,
    /// Bytes of the result, in memory.
    pub(crate) result_bytes: u64,
    /// Rows read from storage.
    pub(crate) read_rows: u64,
    /// Bytes read from storage.
    pub(crate) read_bytes: u64,
    /// Rows written, views included.
    pub(crate) written_rows: u64,
    /// Bytes written, views included.
    pub(crate) written_bytes: u64,
}

/// A finished query: what it printed, and its figures.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The result in the format asked for.
    pub(crate) data: Vec<u8>,
    /// The figures.
    pub(crate) statistics: Statistics,
}

macro_rules! symbols {
    ($($name:ident: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The loaded library. It is never unloaded: the engine's threads outlive every handle.
        #[derive(Debug)]
        pub(crate) struct Library { $($name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }

        impl Library {
            fn resolve(library: &libloading::Library) -> Result<Self, libloading::Error> {
                // SAFETY: the signatures are those of the header named in the module's doc;
                // the caller keeps the library loaded for the life of the process.
                unsafe {
                    Ok(Self {
                        $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)*
                    })
                }
            }
        }
    };
}

symbols! {
    chdb_set_signal_handlers_enabled: fn(c_int);
    chdb_connect: fn(c_int, *mut *mut c_char) -> *mut Handle;
    chdb_close_conn: fn(*mut Handle);
    chdb_query_with_params_n: fn(
        Handle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> Handle;
    chdb_stream_insert_with_params_n: fn(
        Handle, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> Handle;
    chdb_stream_append: fn(Handle, *const c_void, usize) -> c_int;
    chdb_stream_done: fn(Handle) -> Handle;
    chdb_stream_cancel_insert: fn(Handle);
    chdb_stream_insert_error: fn(Handle) -> *const c_char;
    chdb_destroy_insert_stream: fn(Handle);
    chdb_classify_query_n: fn(
        Handle, *const c_char, usize, *const c_char, usize, *mut RawAnalysis
    ) -> c_int;
    chdb_destroy_query_result: fn(Handle);
    chdb_result_buffer: fn(Handle) -> *const c_char;
    chdb_result_length: fn(Handle) -> usize;
    chdb_result_elapsed: fn(Handle) -> c_double;
    chdb_result_rows_read: fn(Handle) -> u64;
    chdb_result_bytes_read: fn(Handle) -> u64;
    chdb_result_storage_rows_read: fn(Handle) -> u64;
    chdb_result_storage_bytes_read: fn(Handle) -> u64;
    chdb_result_rows_written: fn(Handle) -> u64;
    chdb_result_bytes_written: fn(Handle) -> u64;
    chdb_result_error: fn(Handle) -> *const c_char;
}

impl Library {
    /// Loads the library for the rest of the process, its signal handlers off.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(crate) fn load(path: &Path) -> Result<&'static Self, LoadError> {
        let program = libloading::os::unix::Library::this();
        for (name, ours) in writes::ours() {
            // SAFETY: what is found is compared, and not called.
            let found = unsafe { program.get::<*const ()>(name) }?;
            if found.as_raw_ptr() as usize != ours {
                return Err(LoadError::Unguarded(name));
            }
        }
        // SAFETY: loading runs the library's initialisers; it is the pinned engine package,
        // named by the operator.
        let library = Box::leak(Box::new(unsafe { libloading::Library::new(path) }?));
        let symbols: &'static Self = Box::leak(Box::new(Self::resolve(library)?));
        // SAFETY: takes an int, to be called before the first connection; it is.
        unsafe { (symbols.chdb_set_signal_handlers_enabled)(0) };
        Ok(symbols)
    }

    /// Opens a connection with `--name=value` arguments; `None` when the engine refuses (it does
    /// not say why).
    pub(crate) fn connect(&'static self, arguments: &[String]) -> Option<Connection> {
        let arguments: Vec<CString> = std::iter::once("clickhouse-embedded")
            .chain(arguments.iter().map(String::as_str))
            .map(CString::new)
            .collect::<Result<_, _>>()
            .ok()?;
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `pointers` holds `count` valid C strings that live through the call; the
        // engine copies them and does not write to them.
        let connection = unsafe { (self.chdb_connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(connection).map(|handle| Connection { library: self, handle })
    }

    fn text(pointer: *const c_char) -> Option<String> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: the engine's error texts are C strings, valid until their handle is destroyed.
        Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
    }

    /// Takes a result handle apart and destroys it.
    fn outcome(&self, result: Handle) -> Result<Outcome, Exception> {
        if result.is_null() {
            return Err(Exception::from_engine("the engine gave no result"));
        }
        // SAFETY: `result` is a live result handle; buffer and length belong together; all is
        // copied before the handle is destroyed, once.
        unsafe {
            let answer = match Self::text((self.chdb_result_error)(result)) {
                Some(error) => Err(Exception::from_engine(&error)),
                None => Ok(Outcome {
                    data: copied(
                        (self.chdb_result_buffer)(result),
                        (self.chdb_result_length)(result),
                    ),
                    statistics: Statistics {
                        elapsed_s: (self.chdb_result_elapsed)(result),
                        result_rows: (self.chdb_result_rows_read)(result),
                        result_bytes: (self.chdb_result_bytes_read)(result),
                        read_rows: (self.chdb_result_storage_rows_read)(result),
                        read_bytes: (self.chdb_result_storage_bytes_read)(result),
                        written_rows: (self.chdb_result_rows_written)(result),
                        written_bytes: (self.chdb_result_bytes_written)(result),
                    },
                }),
            };
            (self.chdb_destroy_query_result)(result);
            answer
        }
    }
}

/// Copies `length` bytes at `buffer`; nothing when it is null.
///
/// # Safety
/// `buffer` is null or points to `length` readable bytes.
unsafe fn copied(buffer: *const c_char, length: usize) -> Vec<u8> {
    if buffer.is_null() || length == 0 {
        return Vec::new();
    }
    // SAFETY: by the contract above.
    unsafe { std::slice::from_raw_parts(buffer.cast::<u8>(), length) }.to_vec()
}

/// Names and values of `{name:Type}` parameters as the arrays that C wants.
struct Parameters {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl Parameters {
    fn new(pairs: &[(String, String)]) -> Self {
        Self {
            names: pairs.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: pairs.iter().map(|(name, _)| name.len()).collect(),
            values: pairs.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: pairs.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

/// One connection: it runs one statement at a time, which `&mut self` ensures.
#[derive(Debug)]
pub(crate) struct Connection {
    library: &'static Library,
    handle: NonNull<Handle>,
}

// SAFETY: the engine allows a connection to be used from any thread, one at a time.
unsafe impl Send for Connection {}

impl Connection {
    fn raw(&self) -> Handle {
        // SAFETY: the handle points to the connection until `Drop` closes it.
        unsafe { *self.handle.as_ptr() }
    }

    /// What the engine's parser says of `sql`; nothing is executed.
    pub(crate) fn classify(&mut self, sql: &[u8]) -> Result<Analysis, Exception> {
        let struct_size = u32::try_from(size_of::<RawAnalysis>()).unwrap_or(16);
        let mut raw = RawAnalysis { struct_size, ..RawAnalysis::default() };
        // SAFETY: text and length belong together, no target database, and `raw` carries its
        // size as the header asks.
        let state = unsafe {
            (self.library.chdb_classify_query_n)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                ptr::null(),
                0,
                &raw mut raw,
            )
        };
        if state != 0 {
            return Err(Exception::from_engine("the engine could not classify the statement"));
        }
        Ok(Analysis { statements: raw.statement_count, class: raw.query_class })
    }

    /// Runs `sql` with `parameters` and gives its whole result in `format`.
    pub(crate) fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Outcome, Exception> {
        let bound = Parameters::new(parameters);
        // SAFETY: every pointer goes with its length and outlives the call; the arrays have
        // `parameters.len()` elements each.
        let result = unsafe {
            (self.library.chdb_query_with_params_n)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        self.library.outcome(result)
    }

    /// Begins an insert whose data follows by [`InsertStream::append`]. `sql` has no FORMAT
    /// clause and no data.
    pub(crate) fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<InsertStream<'_>, Exception> {
        let bound = Parameters::new(parameters);
        // SAFETY: as in `query`.
        let handle = unsafe {
            (self.library.chdb_stream_insert_with_params_n)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                bound.names.as_ptr(),
                bound.name_lengths.as_ptr(),
                bound.values.as_ptr(),
                bound.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        if handle.is_null() {
            return Err(Exception::from_engine("the engine opened no insert"));
        }
        let stream = InsertStream { connection: self, handle, finished: false };
        match stream.error() {
            Some(error) => Err(Exception::from_engine(&error)),
            None => Ok(stream),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from `chdb_connect` and is closed once; no stream borrows it.
        unsafe { (self.library.chdb_close_conn)(self.handle.as_ptr()) };
    }
}

/// An insert in progress. Dropped before [`InsertStream::finish`], it is cancelled: what the
/// engine has not yet flushed as a block is not inserted.
#[derive(Debug)]
pub(crate) struct InsertStream<'a> {
    connection: &'a mut Connection,
    handle: Handle,
    finished: bool,
}

impl InsertStream<'_> {
    /// Hands `data` to the engine; blocks while the engine is behind.
    pub(crate) fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: the handle is live; the engine copies `data` before it returns.
        let state = unsafe {
            (self.connection.library.chdb_stream_append)(
                self.handle,
                data.as_ptr().cast(),
                data.len(),
            )
        };
        if state == 0 {
            return Ok(());
        }
        let why = self.error().unwrap_or_else(|| "the engine refused the data".to_owned());
        Err(Exception::from_engine(&why))
    }

    /// Ends the data and commits.
    pub(crate) fn finish(mut self) -> Result<Outcome, Exception> {
        self.finished = true;
        // SAFETY: the handle is live and finalised once.
        let result = unsafe { (self.connection.library.chdb_stream_done)(self.handle) };
        self.connection.library.outcome(result)
    }

    fn error(&self) -> Option<String> {
        // SAFETY: the handle is live; the text is copied at once.
        Library::text(unsafe { (self.connection.library.chdb_stream_insert_error)(self.handle) })
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is live, cancelled only if not finalised, destroyed once.
        unsafe {
            if !self.finished {
                (self.connection.library.chdb_stream_cancel_insert)(self.handle);
            }
            (self.connection.library.chdb_destroy_insert_stream)(self.handle);
        }
    }
}
