//! One statement of one server → the statements of a cluster.

use super::placement::{Placement, placement};
use super::tokens::{Edits, Statement};
use super::{ClusterError, ClusterLayout};

/// How long a replicated table remembers the tokens of inserts, beside the number that the
/// migration gives: longer than any outage a collector outlasts, so that the number decides. The
/// engine's own default of one hour would let a repeat after a long outage in twice.
const DEDUPLICATION_SECONDS: u32 = 30 * 24 * 3600;

/// The setting of one server's tables that replicated ones do not look at.
const WINDOW: &str = "non_replicated_deduplication_window";

pub(super) fn rewrite(text: &str, layout: &ClusterLayout) -> Result<Vec<String>, ClusterError> {
    let statement = Statement::new(text);
    if statement.are(0, &["CREATE", "TABLE"]) {
        return create_table(&statement, layout);
    }
    if statement.are(0, &["CREATE", "MATERIALIZED", "VIEW"]) {
        return materialized_view(&statement, layout).map(|one| vec![one]);
    }
    for keywords in
        [&["CREATE", "VIEW"][..], &["CREATE", "OR", "REPLACE", "VIEW"], &["DROP", "VIEW"]]
    {
        if statement.are(0, keywords) {
            let name = after_if_exists(&statement, keywords.len());
            let mut edits = Edits::default();
            on_cluster(&mut edits, &statement, name, layout);
            return Ok(vec![edits.apply(text)]);
        }
    }
    if statement.are(0, &["DROP", "TABLE"]) {
        return drop_table(&statement, layout);
    }
    if statement.are(0, &["ALTER", "TABLE"]) {
        return alter_table(&statement, layout);
    }
    if statement.are(0, &["OPTIMIZE", "TABLE"]) {
        let (table, place) = placed(&statement, 2)?;
        let mut edits = Edits::default();
        let name = statement.tokens[2].place.clone();
        edits.put(name, format!("{} {layout}", place.local_name(table)));
        return Ok(vec![edits.apply(text)]);
    }
    if statement.are(0, &["INSERT", "INTO"]) {
        // Through the Distributed names, once, from wherever it is sent.
        return Ok(vec![text.to_owned()]);
    }
    Err(ClusterError::Unknown(text.chars().take(60).collect()))
}

/// The index of the name behind `IF NOT EXISTS` or `IF EXISTS`.
fn after_if_exists(statement: &Statement<'_>, index: usize) -> usize {
    match () {
        () if statement.are(index, &["IF", "NOT", "EXISTS"]) => index + 3,
        () if statement.are(index, &["IF", "EXISTS"]) => index + 2,
        () => index,
    }
}

fn on_cluster(edits: &mut Edits, statement: &Statement<'_>, name: usize, layout: &ClusterLayout) {
    let end = statement.end(name);
    edits.put(end..end, format!(" {layout}"));
}

/// The table's name and where it lies.
fn placed<'a>(
    statement: &Statement<'a>,
    index: usize,
) -> Result<(&'a str, Placement), ClusterError> {
    let written = || ClusterError::Unplaced(statement.at(index).to_owned());
    let name = statement.name(index).ok_or_else(written)?;
    placement(name).map(|placement| (name, placement)).ok_or_else(written)
}

fn create_table(
    statement: &Statement<'_>,
    layout: &ClusterLayout,
) -> Result<Vec<String>, ClusterError> {
    let name_at = after_if_exists(statement, 2);
    let (table, place) = placed(statement, name_at)?;
    let mut edits = Edits::default();
    let name = statement.tokens[name_at].place.clone();
    edits.put(name, format!("{} {layout}", place.local_name(table)));
    if statement.is(name_at + 1, "AS") {
        let (model, model_place) = placed(statement, name_at + 2)?;
        let written = statement.tokens[name_at + 2].place.clone();
        edits.put(written, model_place.local_name(model));
    }
    replicated_engine(&mut edits, statement, table, place, layout)?;
    replicated_window(&mut edits, statement, true);
    let mut made = vec![edits.apply(statement.text)];
    if place != Placement::Whole {
        let guard = &statement.text[statement.end(1)..statement.start(name_at)];
        made.push(distributed(guard, table, place, layout));
    }
    Ok(made)
}

/// The name that everybody reads and writes. A scattered table has no sharding key, so that the
/// engine itself refuses a direct insert into more than one shard.
fn distributed(guard: &str, table: &str, place: Placement, layout: &ClusterLayout) -> String {
    let local = place.local_name(table);
    let key = match place {
        Placement::Sharded(key) => format!(", {key}"),
        Placement::Scattered | Placement::Whole => String::new(),
    };
    let ClusterLayout { cluster, database } = layout;
    format!(
        "CREATE TABLE{guard}{table} {layout} AS {local}\n\
         ENGINE = Distributed('{cluster}', '{database}', '{local}'{key})"
    )
}

fn replicated_engine(
    edits: &mut Edits,
    statement: &Statement<'_>,
    table: &str,
    place: Placement,
    layout: &ClusterLayout,
) -> Result<(), ClusterError> {
    let keyword = statement.find_outside(0, "ENGINE").unwrap_or(statement.tokens.len());
    let at = keyword + 1 + usize::from(statement.is(keyword + 1, "="));
    let engine = statement.at(at);
    if !engine.ends_with("MergeTree") || engine.starts_with("Replicated") {
        return Err(ClusterError::Engine { table: table.to_owned(), engine: engine.to_owned() });
    }
    let database = &layout.database;
    // The replicas of a shard share a path. A whole table has one path for all servers, and the
    // name of a replica is unique within its shard only.
    let (path, replica) = match place {
        Placement::Sharded(_) | Placement::Scattered => {
            (format!("/clickhouse/tables/{{shard}}/{database}/{table}"), "{replica}")
        }
        Placement::Whole => (format!("/clickhouse/tables/{database}/{table}"), "{shard}-{replica}"),
    };
    let start = statement.start(at);
    edits.put(start..start, "Replicated");
    let own = format!("'{path}', '{replica}'");
    let end = statement.end(at);
    if statement.at(at + 1) == "(" {
        let inside = statement.end(at + 1);
        let separator = if statement.at(at + 2) == ")" { "" } else { ", " };
        edits.put(inside..inside, format!("{own}{separator}"));
    } else {
        edits.put(end..end, format!("({own})"));
    }
    Ok(())
}

/// Replicated tables drop repeats unasked, those of one server only when a migration says so:
/// where it says nothing, a new table is told to keep everything.
fn replicated_window(edits: &mut Edits, statement: &Statement<'_>, new: bool) {
    let mut said = false;
    for at in 0..statement.tokens.len() {
        if statement.is(at, WINDOW) && statement.is(at + 1, "=") {
            said = true;
            let blocks = statement.at(at + 2);
            let place = statement.start(at)..statement.end(at + 2);
            edits.put(
                place,
                format!(
                    "replicated_deduplication_window = {blocks}, \
                     replicated_deduplication_window_seconds = {DEDUPLICATION_SECONDS}"
                ),
            );
        }
    }
    if said || !new {
        return;
    }
    let none = "replicated_deduplication_window = 0";
    if let Some(settings) = statement.find_outside(0, "SETTINGS") {
        let place = statement.end(settings);
        edits.put(place..place, format!(" {none},"));
    } else {
        let place = statement.text.len();
        edits.put(place..place, format!("\nSETTINGS {none}"));
    }
}

/// A view runs where its block landed: from local table to local table.
fn materialized_view(
    statement: &Statement<'_>,
    layout: &ClusterLayout,
) -> Result<String, ClusterError> {
    let name_at = after_if_exists(statement, 3);
    let view = statement.name(name_at).unwrap_or_default().to_owned();
    let wrong = |why| ClusterError::View { view: view.clone(), why };
    if !statement.is(name_at + 1, "TO") {
        return Err(wrong("it must write `TO` a table, and not refresh by itself"));
    }
    let mut edits = Edits::default();
    on_cluster(&mut edits, statement, name_at, layout);
    let (target, target_place) = placed(statement, name_at + 2)?;
    edits.put(statement.tokens[name_at + 2].place.clone(), target_place.local_name(target));
    let mut sources = Vec::new();
    for at in name_at + 3..statement.tokens.len() {
        let Some((table, place)) = statement.name(at).and_then(|n| Some((n, placement(n)?))) else {
            continue;
        };
        let read = statement.is(at - 1, "FROM") || statement.is(at - 1, "JOIN");
        if read {
            sources.push(place);
        }
        if read || statement.at(at + 1) == "." {
            edits.put(statement.tokens[at].place.clone(), place.local_name(table));
        }
    }
    fits(&sources, target_place).map_err(wrong)?;
    Ok(edits.apply(statement.text))
}

/// Whether rows made on the shard of the first source belong there.
fn fits(sources: &[Placement], target: Placement) -> Result<(), &'static str> {
    let Some((first, joined)) = sources.split_first() else {
        return Err("it reads no table of ours");
    };
    if joined.iter().any(|place| *place != Placement::Whole) {
        return Err("it reads a second table, of which its shard holds a part only");
    }
    match (*first, target) {
        (Placement::Whole, Placement::Whole) | (_, Placement::Scattered) => Ok(()),
        (Placement::Sharded(from), Placement::Sharded(to)) if from == to => Ok(()),
        // Two shards would send blocks of one insert under one token: the second is dropped.
        (_, Placement::Whole) => Err("a whole table cannot be filled from several shards"),
        _ => Err("its rows would lie on other shards than the target's sharding key says"),
    }
}

fn drop_table(
    statement: &Statement<'_>,
    layout: &ClusterLayout,
) -> Result<Vec<String>, ClusterError> {
    let name_at = after_if_exists(statement, 2);
    let (table, place) = placed(statement, name_at)?;
    let named = |name: &str| {
        let mut edits = Edits::default();
        edits.put(statement.tokens[name_at].place.clone(), format!("{name} {layout}"));
        edits.apply(statement.text)
    };
    let local = place.local_name(table);
    Ok(if local == table { vec![named(table)] } else { vec![named(table), named(&local)] })
}

/// Columns change in both tables, everything else is the local one's.
fn alter_table(
    statement: &Statement<'_>,
    layout: &ClusterLayout,
) -> Result<Vec<String>, ClusterError> {
    let name_at = after_if_exists(statement, 2);
    let (table, place) = placed(statement, name_at)?;
    let mut edits = Edits::default();
    let name = statement.tokens[name_at].place.clone();
    edits.put(name, format!("{} {layout}", place.local_name(table)));
    replicated_window(&mut edits, statement, false);
    let mut made = vec![edits.apply(statement.text)];
    if place != Placement::Whole {
        let columns: Vec<&str> = commands(statement, name_at + 1)
            .filter(|(first, _)| statement.is(first + 1, "COLUMN"))
            .map(|(_, command)| command)
            .collect();
        if !columns.is_empty() {
            let head = &statement.text[..statement.start(name_at)];
            made.push(format!("{head}{table} {layout} {}", columns.join(", ")));
        }
    }
    Ok(made)
}

/// The commands of an `ALTER`: the index of each one's first token, and its text.
fn commands<'a>(statement: &Statement<'a>, first: usize) -> impl Iterator<Item = (usize, &'a str)> {
    let commas: Vec<usize> = (first..statement.tokens.len())
        .filter(|at| statement.tokens[*at].depth == 0 && statement.at(*at) == ",")
        .collect();
    let starts = std::iter::once(first).chain(commas.iter().map(|comma| comma + 1));
    let ends = commas.iter().copied().chain(std::iter::once(statement.tokens.len()));
    let text = statement.text;
    let found: Vec<_> = starts
        .zip(ends)
        .map(|(start, end)| (start, text[statement.start(start)..statement.start(end)].trim()))
        .collect();
    found.into_iter()
}
