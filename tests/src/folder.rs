//! The folder of a stack: data, logs, ports files. Private to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Set to anything, it keeps the folders of tests that went well, too.
pub const KEEP_VARIABLE: &str = "WAYBILL_TEST_KEEP";

/// A folder that is removed once its work is done well, and kept, and named, when not.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    private: bool,
}

impl Folder {
    /// A new folder among the temporary ones.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn private() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("waybill-stack-").tempdir();
        let path = folder.context("making a temporary folder")?.keep();
        Self { path, private: true }.furnished()
    }

    /// The folder of that name, made if missing; never removed at the end.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn named(path: PathBuf) -> Result<Self> {
        Self { path, private: false }.furnished()
    }

    fn furnished(self) -> Result<Self> {
        for folder in [self.logs(), self.ports()] {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(self)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where logs are.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.path.join("logs")
    }

    /// Where programs write the ports they got.
    #[must_use]
    pub fn ports(&self) -> PathBuf {
        self.path.join("ports")
    }

    /// All went well: a private folder goes, unless [`KEEP_VARIABLE`] is set.
    pub fn done(mut self) {
        if std::env::var_os(KEEP_VARIABLE).is_none()
            && std::mem::take(&mut self.private)
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a folder stays");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.private {
            #[allow(clippy::print_stderr, reason = "the person who reads a failed test needs it")]
            {
                eprintln!("kept for a look: {}", self.path.display());
            }
        }
    }
}
