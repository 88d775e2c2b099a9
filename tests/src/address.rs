//! Loopback addresses: free ones, wanted ones, and those that a program says it has.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};

/// A loopback address whose port the program itself picks.
pub const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A loopback port that is free now. Another process may take it before it is used: only for
/// programs that cannot pick a port themselves.
///
/// # Errors
/// The machine has no free port.
pub fn free() -> Result<SocketAddr> {
    let listener = TcpListener::bind(ANY).context("looking for a free port")?;
    Ok(listener.local_addr()?)
}

/// Whether nobody listens on that loopback port.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Reads the `name=address` lines that a program wrote; `None` while there is no file.
///
/// # Errors
/// The file is there and cannot be read or understood.
pub fn read_ports_file(path: &Path) -> Result<Option<BTreeMap<String, SocketAddr>>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let line = |line: &str| {
        let (name, address) = line.split_once('=').context("no `=`")?;
        Ok::<_, anyhow::Error>((name.to_owned(), address.parse()?))
    };
    let ports = text.lines().map(line).collect::<Result<_>>();
    ports.map(Some).with_context(|| format!("understanding {}: {text:?}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_not_free() {
        let taken = TcpListener::bind(ANY).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!is_free(port));
        drop(taken);
        assert!(is_free(port));
    }

    #[test]
    fn a_ports_file_is_understood_or_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports");
        assert!(read_ports_file(&path).unwrap().is_none());
        std::fs::write(&path, "otlp-http=127.0.0.1:4318\n").unwrap();
        let ports = read_ports_file(&path).unwrap().unwrap();
        assert_eq!(ports["otlp-http"], "127.0.0.1:4318".parse().unwrap());
        std::fs::write(&path, "otlp-http\n").unwrap();
        let error = format!("{:#}", read_ports_file(&path).unwrap_err());
        assert!(error.contains("otlp-http"), "{error}");
    }
}
