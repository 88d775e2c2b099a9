//! Every flag of the collector and of its commands stands in the documentation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clap::{Command, CommandFactory};

/// The pages of `docs`, one behind the other.
fn pages() -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Whether a page names the flag, and not only a longer one that begins alike.
fn names(pages: &str, flag: &str) -> bool {
    pages.match_indices(flag).any(|(at, _)| {
        let after = pages[at + flag.len()..].chars().next();
        !after.is_some_and(|next| next.is_ascii_alphanumeric() || next == '-')
    })
}

/// The flags of a command and of all below it, but for those that every program has.
fn flags(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter_map(|argument| argument.get_long());
    let own = own.filter(|long| !matches!(*long, "help" | "version"));
    let mut flags: Vec<String> = own.map(|long| format!("--{long}")).collect();
    flags.extend(command.get_subcommands().flat_map(self::flags));
    flags
}

#[test]
fn every_flag_stands_in_the_documentation() {
    let pages = pages();
    let flags = flags(&collector::Settings::command());
    assert!(flags.len() > 50 && flags.contains(&"--after".to_owned()), "{flags:?}");
    let missing: Vec<_> = flags.iter().filter(|flag| !names(&pages, flag)).collect();
    assert!(missing.is_empty(), "not in docs/*.md: {missing:?}");
}

#[test]
fn a_longer_flag_does_not_stand_for_a_shorter_one() {
    let page = "use `--journal-bytes-max` and `--log`.";
    for (flag, expected) in
        [("--journal", false), ("--journal-bytes-max", true), ("--log", true), ("--lo", false)]
    {
        assert_eq!(names(page, flag), expected, "{flag}");
    }
}
