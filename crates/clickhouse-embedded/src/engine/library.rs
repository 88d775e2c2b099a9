//! Where the engine library is.

use std::path::{Path, PathBuf};

/// The command that installs the engine, as the error names it.
const INSTALL: &str = "npm ci --prefix crates/clickhouse-embedded/engine";

/// The library was not found.
#[derive(Debug, thiserror::Error)]
#[error("the engine library is not at {}; run `{INSTALL}` in the workspace, or set \
         --engine-library", .looked_at.display())]
pub struct MissingLibrary {
    looked_at: PathBuf,
}

/// The path given, or the package of this machine's kind under the working folder, under the
/// program's folder, or under one of their parents.
///
/// # Errors
/// No such file.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf, MissingLibrary> {
    if let Some(path) = given {
        return existing(path.to_path_buf());
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let package = PathBuf::from("crates/clickhouse-embedded/engine/node_modules/@chdb")
        .join(format!("lib-linux-{architecture}-gnu/libchdb.so"));
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|ancestor| ancestor.join(&package))
        .find(|path| path.is_file())
        .map_or_else(|| existing(package), Ok)
}

fn existing(path: PathBuf) -> Result<PathBuf, MissingLibrary> {
    if path.is_file() { Ok(path) } else { Err(MissingLibrary { looked_at: path }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_says_what_to_run() {
        let error = find(Some(Path::new("/nowhere/libchdb.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libchdb.so") && error.contains("npm ci"), "{error}");
    }
}
