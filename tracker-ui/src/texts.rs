//! The texts of the pages: one TOML file per language, built in, looked up by dotted key.
//!
//! Tests hold the files together: both have the same keys, every key that templates and code ask
//! for exists, and no key is left over.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::language::Language;

/// The texts of one language.
#[derive(Debug)]
pub struct Texts {
    by_key: BTreeMap<String, String>,
}

static RU: LazyLock<Texts> = LazyLock::new(|| Texts::parse(include_str!("../texts/ru.toml")));
static EN: LazyLock<Texts> = LazyLock::new(|| Texts::parse(include_str!("../texts/en.toml")));

impl Texts {
    /// The texts of a language.
    #[must_use]
    pub fn of(language: Language) -> &'static Self {
        match language {
            Language::Ru => &RU,
            Language::En => &EN,
        }
    }

    /// The text, if there is one of that key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&str> {
        self.by_key.get(key).map(String::as_str)
    }

    /// The files are part of the program and a test parses them: one that does not parse leaves
    /// every key without a text rather than stopping the board.
    fn parse(file: &str) -> Self {
        let table: toml::Table = file.parse().unwrap_or_default();
        let mut by_key = BTreeMap::new();
        flatten("", &table, &mut by_key);
        Self { by_key }
    }
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, into),
            toml::Value::String(text) => {
                into.insert(key, text.clone());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Keys without the grammatical number, which languages divide differently.
    fn keys(language: Language) -> BTreeSet<String> {
        let numberless = |key: &String| match key.strip_prefix("plural.") {
            Some(rest) => format!("plural.{}", rest.split('.').next().unwrap()),
            None => key.clone(),
        };
        Texts::of(language).by_key.keys().map(numberless).collect()
    }

    fn files_below(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files_below(&path, into) } else { into.push(path) }
        }
    }

    /// The sources and templates, without their tests.
    fn sources() -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        files_below(&root.join("src"), &mut paths);
        files_below(&root.join("templates"), &mut paths);
        let text = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()
        };
        paths.iter().map(text).collect()
    }

    #[test]
    fn both_languages_have_the_same_keys_and_placeholders() {
        assert!(keys(Language::Ru).len() > 100);
        assert_eq!(keys(Language::Ru), keys(Language::En));
        let names = |text: &str| -> BTreeSet<String> {
            let inner = |part: &str| part.split_once('}').map(|(name, _)| name.to_owned());
            text.split('{').skip(1).filter_map(inner).collect()
        };
        for (key, ru) in &Texts::of(Language::Ru).by_key {
            if let Some(en) = Texts::of(Language::En).find(key) {
                assert_eq!(names(ru), names(en), "{key}");
            }
            assert!(!ru.trim().is_empty() || key == "unit.gap", "{key} is empty");
        }
    }

    #[test]
    fn every_key_asked_for_exists_and_every_key_is_asked_for() {
        let sources = sources();
        let calls = [".t(\"", ".fill(\"", "text(\"", ".count(\""];
        for call in calls {
            for part in sources.split(call).skip(1) {
                let asked = part.split('"').next().unwrap();
                let key =
                    if call == ".count(\"" { format!("plural.{asked}") } else { asked.into() };
                if key.contains('{') || key.ends_with('.') || !key.contains('.') {
                    continue;
                }
                assert!(keys(Language::En).contains(&key), "no text for {key:?}");
            }
        }
        let made_up = [
            "condition.",
            "filter.",
            "channel.",
            "kind.",
            "customer.",
            "unit.",
            "plural.",
            "calculation.",
            "language.",
            "search.by_",
            "page.theme_",
        ];
        for key in keys(Language::En) {
            let used = sources.contains(&format!("\"{key}\""));
            assert!(used || made_up.iter().any(|m| key.starts_with(m)), "nobody uses {key}");
        }
    }
}
