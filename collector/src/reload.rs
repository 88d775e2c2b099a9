//! Files that are read again while the program runs: when they changed, and at SIGHUP. A bad new
//! file changes nothing: what was read before stays in force, and that is said once and shown.

use std::path::PathBuf;
use std::time::Duration;

use daemon::{Note, Stop};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::metrics::AccessMetrics;

/// Bytes of one file; a larger one is refused.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the files of a setting hold, in their order.
pub type Contents = Vec<Vec<u8>>;

/// A file and the flag that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedFile {
    /// For example `--tokens`.
    pub flag: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The flag that names the file.
    pub flag: &'static str,
    /// Where it is.
    pub file: PathBuf,
    /// The line, if it is about one.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Puts contents in force, or says why not.
pub type Apply = Box<dyn FnMut(&Contents) -> Result<(), Vec<Complaint>> + Send>;

/// One setting whose files are watched.
pub struct Watched {
    setting: &'static str,
    files: Vec<WatchedFile>,
    apply: Apply,
    note: Note,
    metrics: AccessMetrics,
    /// What was read when the files in force were.
    in_force: Fingerprint,
    /// What was read last.
    seen: Fingerprint,
    /// What was complained of.
    told: Option<Fingerprint>,
}

/// Stands for contents, so that a private key is not kept.
type Fingerprint = [u8; 32];

impl WatchedFile {
    /// A complaint about the file.
    #[must_use]
    pub fn complaint(&self, line: Option<usize>, reason: String) -> Complaint {
        Complaint { flag: self.flag, file: self.path.clone(), line, reason }
    }

    async fn read(&self) -> Result<Vec<u8>, Complaint> {
        let mut bytes = Vec::new();
        let read = async {
            let file = tokio::fs::File::open(&self.path).await?;
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await
        };
        if let Err(error) = read.await {
            return Err(self.complaint(None, format!("cannot be read: {error}")));
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(self.complaint(None, format!("is larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(bytes)
    }
}

impl Complaint {
    /// Logs it, one line each: a person mends them one by one.
    pub fn log(&self, setting: &'static str) {
        let (file, reason) = (self.file.display(), &self.reason);
        match self.line {
            Some(line) => tracing::error!(setting, %file, line, reason, "bad file"),
            None => tracing::error!(setting, %file, reason, "bad file"),
        }
    }

    fn sentence(&self) -> String {
        let (file, reason) = (self.file.display(), &self.reason);
        match self.line {
            Some(line) => format!("{file} line {line}: {reason}"),
            None => format!("{file} {reason}"),
        }
    }
}

/// What all files hold.
///
/// # Errors
/// Those that cannot be read.
pub async fn read(files: &[WatchedFile]) -> Result<Contents, Vec<Complaint>> {
    let (mut contents, mut complaints) = (Contents::new(), Vec::new());
    for file in files {
        match file.read().await {
            Ok(bytes) => contents.push(bytes),
            Err(complaint) => complaints.push(complaint),
        }
    }
    if complaints.is_empty() { Ok(contents) } else { Err(complaints) }
}

fn fingerprint(read: &Result<Contents, Vec<Complaint>>) -> Fingerprint {
    let mut digest = Sha256::new();
    match read {
        Ok(contents) => {
            for bytes in contents {
                digest.update((bytes.len() as u64).to_le_bytes());
                digest.update(bytes);
            }
        }
        Err(complaints) => digest.update(format!("{complaints:?}")),
    }
    digest.finalize().into()
}

impl Watched {
    /// Watches files whose `contents` are in force.
    #[must_use]
    pub fn new(
        setting: &'static str,
        files: Vec<WatchedFile>,
        contents: Contents,
        apply: Apply,
        note: Note,
        metrics: AccessMetrics,
    ) -> Self {
        let seen = fingerprint(&Ok(contents));
        metrics.in_force(setting, true);
        Self { setting, files, apply, note, metrics, in_force: seen, seen, told: None }
    }

    /// Looks at the files. What changed counts once it was the same for two looks, or when it was
    /// `asked` for.
    async fn look(&mut self, asked: bool) {
        let read = read(&self.files).await;
        let found = fingerprint(&read);
        let settled = std::mem::replace(&mut self.seen, found) == found;
        if found == self.in_force {
            self.told = None;
            self.note.clear();
            self.metrics.in_force(self.setting, true);
            if asked {
                tracing::info!(setting = self.setting, "asked to reload; nothing changed");
            }
            return;
        }
        if !asked && (!settled || self.told == Some(found)) {
            return;
        }
        match read.and_then(|contents| (self.apply)(&contents)) {
            Ok(()) => {
                self.in_force = found;
                self.told = None;
                self.note.clear();
                self.metrics.reloaded(self.setting, true);
                tracing::info!(setting = self.setting, "reloaded");
            }
            Err(complaints) => {
                self.told = Some(found);
                self.metrics.reloaded(self.setting, false);
                for complaint in &complaints {
                    complaint.log(self.setting);
                }
                let sentences: Vec<String> = complaints.iter().map(Complaint::sentence).collect();
                let text = format!("what was read before is in force: {}", sentences.join("; "));
                self.note.set(text);
            }
        }
    }
}

/// Watches until `stop`.
pub async fn run(mut watched: Vec<Watched>, interval: Duration, stop: Stop) {
    if watched.is_empty() {
        return;
    }
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be handled; files are looked at all the same");
            None
        }
    };
    loop {
        let asked = tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(interval) => false,
            Some(()) = async { hangup.as_mut()?.recv().await } => true,
        };
        for one in &mut watched {
            one.look(asked).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use daemon::{Health, Metrics};

    use super::*;

    struct Bench {
        watched: Watched,
        health: Health,
        page: Metrics,
        applied: Arc<Mutex<Vec<String>>>,
    }

    /// Watches one file that holds `first`; contents that begin with `bad` are refused.
    fn bench(path: &Path, first: &str) -> Bench {
        std::fs::write(path, first).unwrap();
        let (health, page) = (Health::new(), Metrics::new("collector", "0"));
        let file = WatchedFile { flag: "--tokens", path: path.to_owned() };
        let applied = Arc::new(Mutex::new(Vec::new()));
        let apply: Apply = Box::new({
            let (applied, file) = (Arc::clone(&applied), file.clone());
            move |contents| {
                let text = String::from_utf8(contents[0].clone()).unwrap();
                if text.starts_with("bad") {
                    return Err(vec![file.complaint(Some(3), text)]);
                }
                applied.lock().unwrap().push(text);
                Ok(())
            }
        });
        let contents = vec![first.as_bytes().to_vec()];
        let (note, metrics) = (health.note("tokens"), AccessMetrics::new(&page));
        let watched = Watched::new("tokens", vec![file], contents, apply, note, metrics);
        Bench { watched, health, page, applied }
    }

    impl Bench {
        fn applied(&self) -> Vec<String> {
            self.applied.lock().unwrap().clone()
        }

        fn counts(&self, line: &str) -> bool {
            self.page.page().contains(line)
        }
    }

    #[tokio::test]
    async fn a_change_counts_once_it_was_the_same_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let mut bench = bench(&path, "one");
        bench.watched.look(false).await;
        std::fs::write(&path, "tw").unwrap();
        bench.watched.look(false).await;
        // Half written a moment ago.
        std::fs::write(&path, "two").unwrap();
        bench.watched.look(false).await;
        assert!(bench.applied().is_empty());
        bench.watched.look(false).await;
        bench.watched.look(false).await;
        assert_eq!(bench.applied(), ["two"]);
        std::fs::write(&path, "three").unwrap();
        bench.watched.look(true).await;
        assert_eq!(bench.applied(), ["two", "three"]);
        assert!(bench.counts("reloads_total{setting=\"tokens\",outcome=\"taken\"} 2"));
    }

    #[tokio::test]
    async fn a_bad_file_is_told_once_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let mut bench = bench(&path, "one");
        std::fs::write(&path, "bad").unwrap();
        for _ in 0..4 {
            bench.watched.look(false).await;
        }
        assert!(bench.applied().is_empty());
        assert!(bench.counts("reloads_total{setting=\"tokens\",outcome=\"refused\"} 1"));
        assert!(bench.counts("reload_refused{setting=\"tokens\"} 1"));
        let remark = bench.health.remarks().concat();
        assert!(remark.contains("tokens.toml line 3: bad"), "{remark}");
        // Gone is bad, too; put back as it was is well.
        std::fs::remove_file(&path).unwrap();
        bench.watched.look(true).await;
        assert!(bench.health.remarks().concat().contains("cannot be read"));
        std::fs::write(&path, "one").unwrap();
        bench.watched.look(false).await;
        assert!(bench.health.remarks().is_empty() && bench.applied().is_empty());
        assert!(bench.counts("reload_refused{setting=\"tokens\"} 0"));
    }
}
