//! `docs/stitching.md` names the tests that show each rule: here it is seen to that they exist.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../docs/stitching.md");
/// What the paragraphs that name tests begin with: a source between backticks, then its tests.
const SHOWN_BY: &str = "Shown by ";

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a source has a test of that name: a function with an attribute of a test above it.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| {
        let function = line.strip_prefix("async ").unwrap_or(line);
        function.strip_prefix("fn ").and_then(|f| f.split('(').next()) == Some(name)
    });
    let above = at.and_then(|at| lines[..at].last());
    above.is_some_and(|line| line.starts_with("#[") && line.contains("test"))
}

/// Every rule with the (file, test) pairs that its section names.
fn rules() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let mut rules = Vec::new();
    for section in PAGE.split("\n### ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        let body = body.split("\n## ").next().unwrap();
        let mut file = "";
        let mut named = Vec::new();
        let shown = body.split("\n\n").filter_map(|part| part.trim().strip_prefix(SHOWN_BY));
        for word in shown.flat_map(quoted) {
            if word.ends_with(".rs") {
                file = word;
            } else {
                named.push((file, word));
            }
        }
        rules.push((title, named));
    }
    rules
}

#[test]
fn every_rule_names_tests_that_exist() {
    let rules = rules();
    assert!(rules.len() > 20, "only {} rules were found", rules.len());
    for (rule, tests) in rules {
        assert!(!tests.is_empty(), "`{rule}` names no test");
        for (file, name) in tests {
            let source = std::fs::read_to_string(sources().join(file));
            let source = source.unwrap_or_else(|error| panic!("`{rule}`: {file}: {error}"));
            assert!(has_test(&source, name), "`{rule}`: {file} has no test `{name}`");
        }
    }
}

#[test]
fn a_function_that_is_no_test_does_not_count() {
    let source =
        "#[test]\nfn shown() {}\nfn told() {}\n    #[tokio::test]\n    async fn served() {}";
    for (name, expected) in [("shown", true), ("served", true), ("told", false), ("show", false)] {
        assert_eq!(has_test(source, name), expected, "{name}");
    }
}
