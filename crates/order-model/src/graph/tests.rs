//! The rules of `docs/stitching.md`, one case each.

use super::*;

/// `order@carrier`, `order@carrier/span`, `?number@carrier` (only the number was named).
fn graph(namings: &[&str], numbers: &[(&str, &str, &str)], links: &[(&str, &str)]) -> Graph {
    let mut graph = Graph::default();
    for naming in namings {
        let (order, place) = naming.split_once('@').unwrap();
        let (carrier, span_id) = place.split_once('/').unwrap_or((place, ""));
        graph.add_naming(Naming {
            carrier: carrier.to_owned(),
            span_id: span_id.to_owned(),
            order_id: order.trim_start_matches('?').to_owned(),
            provisional: order.starts_with('?'),
        });
    }
    for (number, scope, order_id) in numbers {
        let (key, scope) = (search_key(number), (*scope).to_owned());
        graph.add_number(Number { key, scope, order_id: (*order_id).to_owned() });
    }
    for (from, to) in links {
        let end = |text: &str| {
            let (carrier, span) = text.split_once('/').unwrap_or((text, ""));
            (carrier.to_owned(), span.to_owned())
        };
        let ((carrier, span_id), (other, other_span_id)) = (end(from), end(to));
        graph.add_link(Link { carrier, span_id, other, other_span_id });
    }
    graph
}

fn members(graph: &Graph, order: &str) -> (String, Vec<String>) {
    let group = graph.group_of(order);
    (group.order_id, group.members.into_iter().collect())
}

fn carriers(graph: &Graph, order: &str) -> Vec<String> {
    graph.carriers_of_group(&graph.group_of(order)).into_keys().collect()
}

#[test]
fn what_glues_and_what_does_not() {
    let many: Vec<String> = (0..=NUMBER_ORDERS_MAX).map(|n| format!("A{n}")).collect();
    let named: Vec<String> = many.iter().map(|order| format!("{order}@t-{order}")).collect();
    let basket: Vec<_> = many.iter().map(|order| ("P1", "", order.as_str())).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    for (name, graph, order, expected) in [
        ("nothing", graph(&["A@t", "B@t"], &[], &[]), "A", ("A", vec!["A"])),
        (
            "one number of two orders",
            graph(&["A@t", "B@u"], &[("P 1", "", "A"), ("p1", "", "B")], &[]),
            "B",
            ("A", vec!["A", "B"]),
        ),
        (
            "two partners use one number",
            graph(&["A@t", "B@u"], &[("P1", "x", "A"), ("P1", "y", "B")], &[]),
            "A",
            ("A", vec!["A"]),
        ),
        (
            "the number is the id of another order",
            graph(&["0-P1@t", "Z9@u"], &[("0 P1", "x", "Z9")], &[]),
            "0-P1",
            ("Z9", vec!["0-P1", "Z9"]),
        ),
        (
            "a trace names one order by id and one by number",
            graph(&["?P1@t", "Z9@t"], &[("P1", "", "P1")], &[]),
            "P1",
            ("Z9", vec!["P1", "Z9"]),
        ),
        (
            "so does a message",
            graph(&["?P1@message:M", "Z9@message:M"], &[("P1", "", "P1")], &[]),
            "Z9",
            ("Z9", vec!["P1", "Z9"]),
        ),
        (
            "a batch trace glues nothing",
            graph(&["?P1@t", "Y8@t", "Z9@t"], &[("P1", "", "P1")], &[]),
            "P1",
            ("P1", vec!["P1"]),
        ),
        (
            "two orders of one partner, though another partner uses the number too",
            graph(
                &["A@t", "B@u", "C@v"],
                &[("P1", "x", "A"), ("P1", "x", "B"), ("P1", "y", "C")],
                &[],
            ),
            "B",
            ("A", vec!["A", "B"]),
        ),
        (
            "the number of two partners is nobody's id",
            graph(&["P1@t", "A@u", "B@v"], &[("P1", "x", "A"), ("P1", "y", "B")], &[]),
            "P1",
            ("P1", vec!["P1"]),
        ),
        (
            "a number said with and without its partner is not known to be one",
            graph(&["A@t", "B@u"], &[("P1", "", "A"), ("P1", "x", "B")], &[]),
            "A",
            ("A", vec!["A"]),
        ),
        (
            "two numbers in one trace are two orders",
            graph(&["?P1@t", "?P2@t"], &[("P1", "", "P1"), ("P2", "", "P2")], &[]),
            "P1",
            ("P1", vec!["P1"]),
        ),
        (
            "named by id anywhere in the trace, it is not provisional",
            graph(&["?A@t", "A@t", "Z9@t"], &[("A", "", "A")], &[]),
            "A",
            ("A", vec!["A"]),
        ),
        ("a basket's number", graph(&named, &basket, &[]), "A0", ("A0", vec!["A0"])),
        (
            "as many orders as a number may have",
            graph(&named, &basket[1..], &[]),
            "A8",
            ("A1", many[1..].iter().map(String::as_str).collect()),
        ),
    ] {
        let (shown, ids) = members(&graph, order);
        assert_eq!((shown.as_str(), ids), (expected.0, own(&expected.1)), "{name}");
    }
}

fn own(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn gluing_is_transitive_and_bounded() {
    let chain = |length: usize| {
        let orders: Vec<String> = (0..length).map(|n| format!("A{n:02}")).collect();
        let mut graph = Graph::default();
        for (n, order_id) in orders.iter().enumerate() {
            graph.add_order(order_id);
            for key in [format!("P{n}"), format!("P{}", n + 1)] {
                let order_id = order_id.clone();
                graph.add_number(Number { key, scope: String::new(), order_id });
            }
        }
        graph
    };
    assert_eq!(members(&chain(GROUP_ORDERS_MAX), "A09").1.len(), GROUP_ORDERS_MAX);
    for order in ["A00", "A09", "A16"] {
        assert_eq!(members(&chain(GROUP_ORDERS_MAX + 1), order).1, [order]);
    }
}

#[test]
fn carriers_belong_to_the_orders_they_name_or_are_linked_with() {
    for (name, graph, order, expected) in [
        ("its own", graph(&["A@t"], &[], &[]), "A", vec!["t"]),
        ("linked to it", graph(&["A@t"], &[], &[("u/1", "t/2")]), "A", vec!["t", "u"]),
        ("linked from it", graph(&["A@t"], &[], &[("t/1", "u/2")]), "A", vec!["t", "u"]),
        (
            "one that names another order is that order's",
            graph(&["A@t", "B@u"], &[], &[("u", "t"), ("v", "u")]),
            "A",
            vec!["t"],
        ),
        (
            "over several links",
            graph(&["A@t"], &[], &[("u", "t"), ("v", "u"), ("w", "v")]),
            "A",
            vec!["t", "u", "v", "w"],
        ),
        (
            "but not over too many",
            graph(&["A@t"], &[], &[("1", "t"), ("2", "1"), ("3", "2"), ("4", "3"), ("5", "4")]),
            "A",
            vec!["1", "2", "3", "4", "t"],
        ),
        (
            "of a batch, the order that the linked span names",
            graph(&["A@t", "B@t", "A@t/1", "B@t/2"], &[], &[("u", "t/1"), ("v", "t/2")]),
            "B",
            vec!["t", "v"],
        ),
        (
            "of a batch, all when the span names none",
            graph(&["A@t", "B@t"], &[], &[("u", "t/1")]),
            "B",
            vec!["t", "u"],
        ),
        (
            "by a message",
            graph(&["A@t", "A@message:M"], &[], &[("u/3", "message:M")]),
            "A",
            vec!["message:M", "t", "u"],
        ),
        (
            "of every id of the order",
            graph(&["A@t", "B@u"], &[("P", "", "A"), ("P", "", "B")], &[]),
            "B",
            vec!["t", "u"],
        ),
    ] {
        assert_eq!(carriers(&graph, order), own(&expected), "{name}");
    }
}

#[test]
fn a_later_fact_may_part_what_an_earlier_one_joined() {
    // A trace that is named at last leaves the order that had adopted it.
    let mut adopted = graph(&["A@t"], &[], &[("u", "t"), ("v", "u")]);
    assert_eq!(carriers(&adopted, "A"), ["t", "u", "v"]);
    adopted.add_naming(Naming {
        carrier: "u".to_owned(),
        span_id: String::new(),
        order_id: "B".to_owned(),
        provisional: false,
    });
    assert_eq!((carriers(&adopted, "A"), carriers(&adopted, "B")), (own(&["t"]), own(&["u", "v"])));
    // A number that turns out to be a basket's glues no longer.
    let mut basket = graph(&["A0@t", "A1@u"], &[("P", "", "A0"), ("P", "", "A1")], &[]);
    assert_eq!(members(&basket, "A0").1, ["A0", "A1"]);
    for n in 2..=NUMBER_ORDERS_MAX {
        let (key, scope) = ("P".to_owned(), String::new());
        basket.add_number(Number { key, scope, order_id: format!("A{n}") });
    }
    assert_eq!(members(&basket, "A0").1, ["A0"]);
}

#[test]
fn what_is_added_twice_is_there_once() {
    let links = [("u/1", "t/2"), ("u/1", "t/2")];
    let twice = graph(&["A@t", "A@t"], &[("P", "", "A"), ("P", "", "A")], &links);
    let once = graph(&["A@t"], &[("P", "", "A")], &links[..1]);
    assert_eq!(format!("{twice:?}"), format!("{once:?}"));
}

#[test]
fn a_message_id_that_everybody_has_brings_nothing() {
    let namings = |count: usize, carrier: &str| -> Vec<String> {
        (0..count).map(|n| format!("A{n}@{carrier}")).collect()
    };
    for (count, carrier, expected) in [
        (MESSAGE_ORDERS_MAX, "message:1", 1),
        (MESSAGE_ORDERS_MAX + 1, "message:1", 0),
        // A trace of so many is a batch.
        (MESSAGE_ORDERS_MAX + 1, "t", 1),
    ] {
        let namings = namings(count, carrier);
        let namings: Vec<&str> = namings.iter().map(String::as_str).collect();
        let graph = graph(&namings, &[], &[]);
        assert_eq!(carriers(&graph, "A7").len(), expected, "{count} of {carrier}");
    }
}
