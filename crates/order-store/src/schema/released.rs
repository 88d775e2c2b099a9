//! The migrations of released versions never change: stores in the field were made with them.
//! `sql/released.txt` has their fingerprints.

use std::fmt::Write;
use std::path::Path;

use super::{fingerprint, migrations};
use crate::cluster::split;

const RELEASED: &str = include_str!("../../sql/released.txt");

/// The lines of a list: number, name, fingerprint.
fn entries(list: &str) -> impl Iterator<Item = (u32, &str, &str)> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, name, fingerprint] = words[..] else { panic!("bad line: {line}") };
        (number.parse().unwrap_or_else(|_| panic!("bad number: {line}")), name, fingerprint)
    })
}

/// What is wrong with `ours` after `list` was released, if anything.
fn edited(list: &str, ours: &[(u32, String, String)]) -> Option<String> {
    for (index, (number, name, fingerprint)) in entries(list).enumerate() {
        let same = ours.get(index).is_some_and(|(our_number, our_name, ours)| {
            (*our_number, our_name.as_str(), ours.as_str()) == (number, name, fingerprint)
        });
        if !same {
            return Some(format!(
                "migration {number} ({name}) is released and must stay as it was; write a new file"
            ));
        }
    }
    None
}

fn ours() -> Vec<(u32, String, String)> {
    let line = |(number, name, text): (u32, &str, &str)| (number, name.into(), fingerprint(text));
    migrations().map(line).collect()
}

/// The list with what is new, in order.
fn frozen(list: &str, ours: &[(u32, String, String)]) -> String {
    let mut frozen = list.to_owned();
    for (number, name, fingerprint) in ours.iter().skip(entries(list).count()) {
        writeln!(frozen, "{number} {name} {fingerprint}").unwrap();
    }
    frozen
}

#[test]
fn released_migrations_are_as_they_were() {
    assert_eq!(edited(RELEASED, &ours()), None);
}

#[test]
fn an_edit_a_gap_and_a_removal_are_found_and_an_addition_is_none() {
    let known = |n: u32, f: &str| (n, format!("m{n}"), f.to_owned());
    let list = "# What it is.\n1 m1 aa\n2 m2 bb\n";
    assert_eq!(edited(list, &[known(1, "aa"), known(2, "bb"), known(3, "cc")]), None);
    assert_eq!(edited("# Nothing yet.\n", &[known(1, "aa")]), None);
    for bad in [
        vec![known(1, "aa"), known(2, "xx")],
        vec![known(1, "aa"), (2, "other".to_owned(), "bb".to_owned())],
        vec![known(2, "bb")],
        vec![known(1, "aa")],
    ] {
        assert!(edited(list, &bad).is_some(), "{bad:?}");
    }
}

/// The first command of a statement that adds a column which an older Waybill, whose rows lack it,
/// could not leave out: collectors of two versions write side by side during an upgrade.
fn column_without_default(statement: &str) -> Option<&str> {
    let added = statement.split("ADD COLUMN ").skip(1);
    added.into_iter().find(|column| !column.contains(" DEFAULT "))
}

#[test]
fn an_older_waybill_can_leave_out_every_added_column() {
    let bad = "ALTER TABLE t ADD COLUMN a String DEFAULT '', ADD COLUMN IF NOT EXISTS b String";
    assert_eq!(column_without_default(bad), Some("IF NOT EXISTS b String"));
    for (number, name, text) in migrations() {
        for statement in split(text) {
            assert_eq!(column_without_default(&statement), None, "{number} {name}");
        }
    }
}

#[test]
fn freezing_adds_what_is_new_and_then_nothing() {
    let once = frozen(RELEASED, &ours());
    assert!(once.starts_with(RELEASED));
    assert_eq!(entries(&once).count(), ours().len());
    assert_eq!(frozen(&once, &ours()), once);
    assert_eq!(edited(&once, &ours()), None);
}

#[test]
#[ignore = "writes sql/released.txt: run it when a version is released"]
fn freeze_the_migrations() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/released.txt");
    let list = std::fs::read_to_string(&path).unwrap();
    assert_eq!(edited(&list, &ours()), None);
    std::fs::write(&path, frozen(&list, &ours())).unwrap();
}
