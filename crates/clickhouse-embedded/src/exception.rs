//! What goes wrong, in ClickHouse's words: a code, a text that clients parse, an HTTP status.

use std::fmt;
use std::sync::OnceLock;

use http::StatusCode;

/// An error as a ClickHouse server would report it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Exception {
    /// ClickHouse's number of the error.
    pub(crate) code: u16,
    /// The whole text: `Code: N. DB::Exception: … (NAME)`.
    text: String,
}

/// Errors that this program raises itself, by ClickHouse's names and numbers:
/// <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "ClickHouse's own names")]
pub(crate) enum Code {
    CannotParseText = 6,
    BadArguments = 36,
    ChecksumDoesntMatch = 40,
    NotImplemented = 48,
    SyntaxError = 62,
    UnknownFormat = 73,
    CannotReadAllData = 33,
    CannotDecompress = 271,
    CannotReadFromSocket = 95,
    UnknownSetting = 115,
    Readonly = 164,
    QueryIsTooLarge = 229,
    TooManySimultaneousQueries = 202,
    SocketTimeout = 209,
    QueryWithSameIdIsAlreadyRunning = 216,
    SessionNotFound = 372,
    SessionIsLocked = 373,
    InvalidSessionTimeout = 374,
    TooManyRowsOrBytes = 396,
    SettingConstraintViolation = 452,
    NotEnoughSpace = 243,
    AccessDenied = 497,
    UnknownRole = 511,
    AuthenticationFailed = 516,
    Aborted = 236,
}

impl Code {
    const fn name(self) -> &'static str {
        match self {
            Self::CannotParseText => "CANNOT_PARSE_TEXT",
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::NotEnoughSpace => "NOT_ENOUGH_SPACE",
            Self::ChecksumDoesntMatch => "CHECKSUM_DOESNT_MATCH",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::UnknownFormat => "UNKNOWN_FORMAT",
            Self::CannotReadAllData => "CANNOT_READ_ALL_DATA",
            Self::CannotDecompress => "CANNOT_DECOMPRESS",
            Self::CannotReadFromSocket => "CANNOT_READ_FROM_SOCKET",
            Self::UnknownSetting => "UNKNOWN_SETTING",
            Self::Readonly => "READONLY",
            Self::QueryIsTooLarge => "QUERY_IS_TOO_LARGE",
            Self::TooManySimultaneousQueries => "TOO_MANY_SIMULTANEOUS_QUERIES",
            Self::SocketTimeout => "SOCKET_TIMEOUT",
            Self::QueryWithSameIdIsAlreadyRunning => "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
            Self::SessionNotFound => "SESSION_NOT_FOUND",
            Self::SessionIsLocked => "SESSION_IS_LOCKED",
            Self::InvalidSessionTimeout => "INVALID_SESSION_TIMEOUT",
            Self::TooManyRowsOrBytes => "TOO_MANY_ROWS_OR_BYTES",
            Self::SettingConstraintViolation => "SETTING_CONSTRAINT_VIOLATION",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::UnknownRole => "UNKNOWN_ROLE",
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::Aborted => "ABORTED",
        }
    }
}

/// The code of an engine text that names none: `STD_EXCEPTION`.
const CODE_UNNAMED: u16 = 1001;

static ENGINE_VERSION: OnceLock<String> = OnceLock::new();

/// Tells the engine's version once, for the end of every text.
pub(crate) fn set_engine_version(version: &str) {
    // A repeat can only say the same.
    let _ = ENGINE_VERSION.set(version.to_owned());
}

impl Exception {
    /// An error of our own.
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        let (number, name) = (code as u16, code.name());
        Self { code: number, text: format!("Code: {number}. DB::Exception: {message}. ({name})") }
    }

    /// An error of the engine, from its text.
    pub(crate) fn from_engine(text: &str) -> Self {
        let number = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next())
            .and_then(|digits| digits.parse().ok());
        match number {
            Some(code) => Self { code, text: text.trim_end().to_owned() },
            None => Self {
                code: CODE_UNNAMED,
                text: format!("Code: {CODE_UNNAMED}. DB::Exception: {text}. (STD_EXCEPTION)"),
            },
        }
    }

    /// The HTTP status that a ClickHouse server gives for the code
    /// (`exceptionCodeToHTTPStatus.cpp`), but for 202: 503, so that clients come again.
    pub(crate) fn http_status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            // CANNOT_PARSE_* and what else is wrong with the request itself.
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167
            | 168 | 223 | 321 | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            // UNKNOWN_*.
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => {
                StatusCode::NOT_FOUND
            }
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 202 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            159 => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match ENGINE_VERSION.get() {
            Some(version) if !self.text.contains("(version ") => write!(f, " (version {version})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_servers_status() {
        let engine =
            |code: u16| Exception::from_engine(&format!("Code: {code}. DB::Exception: x. (X)"));
        let mut by_status = std::collections::BTreeMap::<u16, Vec<u16>>::new();
        for code in 1..1100 {
            let status = engine(code).http_status().as_u16();
            if status != 500 {
                by_status.entry(status).or_default().push(code);
            }
        }
        insta::assert_debug_snapshot!(by_status);
    }

    #[test]
    fn texts_are_the_servers() {
        let own = Exception::new(Code::Readonly, "no");
        assert_eq!(own.text, "Code: 164. DB::Exception: no. (READONLY)");
        let unnamed = Exception::from_engine("it broke");
        assert_eq!(unnamed.text, "Code: 1001. DB::Exception: it broke. (STD_EXCEPTION)");
        assert_eq!(
            Exception::from_engine("Code: 60. DB::Exception: t. (UNKNOWN_TABLE)\n").code,
            60
        );
    }
}
