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
        ("a basket's number", graph(&named, &basket, &[]), "A0", ("A0", vec!["A0"])),
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
