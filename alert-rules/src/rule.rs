//! Rules: checked once, at start, so that nothing about them can fail at three in the morning.
//!
//! A rule's SQL gives one row per alert. Labels are the identity of the alert and never change
//! while it lives, so a label is fixed text or one column; evidence stands in annotations.

mod check;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::finding::Finding;
use crate::rule_file;
use crate::template::Templates;

/// How often a group is evaluated that does not say.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(5);
/// The shortest `interval`; a shorter one is refused.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest `interval`; a longer one is refused.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Most bytes of a rule file; a larger one is refused.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most rules over all files; more are refused.
const RULES_MAX: usize = 256;

/// Rule files: name and text.
pub type Texts = Vec<(String, String)>;

/// Checked rules with their templates.
#[derive(Debug, Clone)]
pub struct RuleSet {
    /// The groups, in the order of files and text.
    pub groups: Vec<Group>,
    pub(crate) templates: Templates,
}

/// Rules that are evaluated together, one after the other.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name, the only one in the set.
    pub name: String,
    /// How often its rules are evaluated.
    pub interval: Duration,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The name, `alertname` in the label set; the only one in the set.
    pub name: String,
    /// The query: one row per alert.
    pub sql: String,
    pub(crate) labels: BTreeMap<String, Label>,
    pub(crate) annotations: BTreeMap<String, Annotation>,
    pub(crate) place: Place,
    /// Its place among all rules: they are told of in this order.
    pub(crate) position: usize,
}

/// Where a rule's label gets its value from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Label {
    Text(String),
    Column { column: String, line: u64 },
}

/// An annotation: the name of its template in [`Templates`] and the columns that it uses.
#[derive(Debug, Clone)]
pub(crate) struct Annotation {
    pub(crate) template: String,
    pub(crate) columns: BTreeSet<String>,
    pub(crate) line: u64,
}

/// Where a rule stands, for findings.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) sql_line: u64,
}

impl RuleSet {
    /// Reads and checks every `.yaml` and `.yml` file of a folder, in the order of their names.
    ///
    /// # Errors
    /// Every mistake found; a folder that cannot be read or holds no rule is one.
    pub fn read_folder(folder: &Path) -> Result<Self, Vec<Finding>> {
        Self::parse(&Self::texts(folder)?)
    }

    /// Reads every `.yaml` and `.yml` file of a folder, in the order of their names.
    ///
    /// # Errors
    /// A folder that cannot be read or holds none, and every file that cannot be read.
    pub fn texts(folder: &Path) -> Result<Texts, Vec<Finding>> {
        let name = folder.display().to_string();
        let listed = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|error| vec![Finding::new(&name, 0, format!("cannot be read: {error}"))])?;
        let listed: Vec<PathBuf> = listed;
        let mut files: Vec<PathBuf> = listed
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == "yaml" || end == "yml"))
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(vec![Finding::new(&name, 0, "holds no rule: write one `.yaml` file")]);
        }
        let (texts, findings) = read_all(&files);
        if findings.is_empty() { Ok(texts) } else { Err(findings) }
    }

    /// Reads and checks these files.
    ///
    /// # Errors
    /// Every mistake found.
    pub fn read_files(files: &[PathBuf]) -> Result<Self, Vec<Finding>> {
        let (texts, findings) = read_all(files);
        match Self::parse(&texts) {
            Ok(set) if findings.is_empty() => Ok(set),
            Ok(_) => Err(findings),
            Err(more) => Err(findings.into_iter().chain(more).collect()),
        }
    }

    /// Checks rule files given as (name, text).
    ///
    /// # Errors
    /// Every mistake found, in the order of files and lines.
    pub fn parse(files: &[(String, String)]) -> Result<Self, Vec<Finding>> {
        let mut set = Self { groups: Vec::new(), templates: Templates::new() };
        let mut findings = Vec::new();
        for (file, text) in files {
            match rule_file::parse(file, text) {
                Ok(shape) => findings.extend(check::add(&mut set, file, shape)),
                Err(finding) => findings.push(finding),
            }
        }
        let rules = set.groups.iter().map(|group| group.rules.len()).sum::<usize>();
        if rules > RULES_MAX {
            let why = format!("{rules} rules; at most {RULES_MAX} are evaluated by one process");
            findings.push(Finding::new("all files", 0, why));
        }
        findings.sort();
        if findings.is_empty() { Ok(set) } else { Err(findings) }
    }

    /// Every rule.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }

    /// Sets what templates call `public_url` and `runbook_url`.
    pub fn set_urls(&mut self, public_url: &str, runbook_url: &str) {
        self.templates.set_urls(public_url, runbook_url);
    }
}

/// The texts of the files that can be read, and what is wrong with the others.
fn read_all(files: &[PathBuf]) -> (Texts, Vec<Finding>) {
    let (mut texts, mut findings) = (Vec::new(), Vec::new());
    for path in files {
        let name = path.display().to_string();
        match read(path) {
            Ok(text) => texts.push((name, text)),
            Err(why) => findings.push(Finding::new(&name, 0, why)),
        }
    }
    (texts, findings)
}

/// The text of a file of ours, within the bound.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("has {bytes} bytes; a rule file has at most {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(failed)
}
