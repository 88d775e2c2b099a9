//! Who is asking: two users of our own, since the engine has none.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::exception::{Code, Exception};
use crate::settings::{Secret, UserSettings};

/// The name that clients use when nobody gave them one.
const DEFAULT_USER: &str = "default";

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Everything but control of the process and the host.
    Writer,
    /// Read tables.
    Reader,
}

/// A user who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The name.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
}

#[derive(Debug, Clone)]
struct Account {
    user: User,
    password: Secret,
}

/// The users this process knows.
#[derive(Debug, Clone)]
pub(crate) struct Accounts {
    accounts: Vec<Account>,
}

/// The users are not set up as they should be.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Anybody on the network could come in.
    #[error(
        "{address} is not a loopback address and user {user} has no password; set \
             --{user}-password-file, or --allow-no-password on a closed network"
    )]
    NoPassword {
        /// The address to listen on.
        address: IpAddr,
        /// The role whose user has no password.
        user: &'static str,
    },
    /// A password file cannot be read.
    #[error("cannot read the password file {path}")]
    PasswordFile {
        /// Its path.
        path: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Two users of one name.
    #[error("the writer and the reader are both named {0}")]
    SameName(String),
}

impl Accounts {
    /// Reads the users and checks that they fit the address.
    ///
    /// # Errors
    /// [`AccountError`].
    pub(crate) fn new(settings: &UserSettings, listen: IpAddr) -> Result<Self, AccountError> {
        if settings.writer == settings.reader {
            return Err(AccountError::SameName(settings.writer.clone()));
        }
        let writer = password(&settings.writer_password, settings.writer_password_file.as_deref())?;
        let reader = password(&settings.reader_password, settings.reader_password_file.as_deref())?;
        if !listen.is_loopback() && !settings.allow_no_password {
            for (user, password) in [("writer", &writer), ("reader", &reader)] {
                if password.0.is_empty() {
                    return Err(AccountError::NoPassword { address: listen, user });
                }
            }
        }
        let account = |name: &str, role, password| {
            let user = User { name: name.to_owned(), role };
            Account { user, password }
        };
        let open = writer.0.is_empty();
        let mut accounts = vec![
            account(&settings.writer, Role::Writer, writer),
            account(&settings.reader, Role::Reader, reader),
        ];
        let taken = [&settings.writer, &settings.reader].iter().any(|name| *name == DEFAULT_USER);
        // Beside a writer who has a password it would be a way around that password.
        if listen.is_loopback() && open && !taken {
            accounts.push(account(DEFAULT_USER, Role::Writer, Secret::default()));
        }
        Ok(Self { accounts })
    }

    /// Finds out who asks: `X-ClickHouse-User` and `-Key`, basic authentication, or the
    /// parameters `user` and `password`.
    ///
    /// # Errors
    /// 516, which does not say whether the name or the password is wrong.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        parameters: &[(String, String)],
    ) -> Result<User, Exception> {
        let (name, password) = credentials(headers, parameters);
        let found = self.accounts.iter().find(|account| account.user.name == name);
        // A name that is not known costs the same comparison.
        let expected = found.map_or("", |account| account.password.0.as_str());
        let right = same(expected.as_bytes(), password.as_bytes());
        match found {
            Some(account) if right || expected.is_empty() => Ok(account.user.clone()),
            _ => Err(Exception::new(
                Code::AuthenticationFailed,
                format!(
                    "{name}: Authentication failed: password is incorrect, or there is no \
                         user with such name"
                ),
            )),
        }
    }
}

fn password(given: &Secret, file: Option<&Path>) -> Result<Secret, AccountError> {
    let Some(path) = file else { return Ok(given.clone()) };
    let failed = |source| AccountError::PasswordFile { path: path.display().to_string(), source };
    let text = fs::read_to_string(path).map_err(failed)?;
    Ok(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn credentials(headers: &HeaderMap, parameters: &[(String, String)]) -> (String, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let parameter = |name: &str| {
        parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    };
    if header("x-clickhouse-user").is_some() || header("x-clickhouse-key").is_some() {
        let user = header("x-clickhouse-user").unwrap_or(DEFAULT_USER);
        return (user.to_owned(), header("x-clickhouse-key").unwrap_or_default().to_owned());
    }
    let basic = header(AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|coded| STANDARD.decode(coded.trim()).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = basic.as_deref().and_then(|text| text.split_once(':')) {
        return (user.to_owned(), password.to_owned());
    }
    let user = parameter("user").filter(|name| !name.is_empty()).unwrap_or(DEFAULT_USER);
    (user.to_owned(), parameter("password").unwrap_or_default().to_owned())
}

/// Compares without stopping at the first difference.
fn same(expected: &[u8], given: &[u8]) -> bool {
    let differs =
        (0..expected.len().max(given.len())).fold(expected.len() ^ given.len(), |sum, at| {
            let (a, b) = (expected.get(at).unwrap_or(&0), given.get(at).unwrap_or(&0));
            sum | usize::from(a ^ b)
        });
    differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

    fn settings(writer_password: &str, reader_password: &str) -> UserSettings {
        UserSettings {
            writer: "writer".to_owned(),
            writer_password: Secret(writer_password.to_owned()),
            writer_password_file: None,
            reader: "reader".to_owned(),
            reader_password: Secret(reader_password.to_owned()),
            reader_password_file: None,
            allow_no_password: true,
        }
    }

    #[test]
    fn default_is_offered_only_beside_a_writer_without_a_password() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "s3cret\n").unwrap();
        let in_file =
            UserSettings { writer_password_file: Some(file.path().into()), ..settings("", "") };
        let cases = [
            (settings("", ""), LOOPBACK, Some(Role::Writer)),
            (settings("", "s3cret"), LOOPBACK, Some(Role::Writer)),
            (settings("s3cret", ""), LOOPBACK, None),
            (settings("s3cret", "s3cret"), LOOPBACK, None),
            (in_file, LOOPBACK, None),
            (settings("", ""), [0, 0, 0, 0], None),
        ];
        for (settings, address, expected) in cases {
            let accounts = Accounts::new(&settings, address.into()).unwrap();
            let nobody = accounts.authenticate(&HeaderMap::new(), &[]).ok();
            assert_eq!(nobody.map(|user| user.role), expected, "{settings:?} {address:?}");
        }
    }
}
