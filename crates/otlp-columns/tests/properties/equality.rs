//! Whatever `prost` decodes, the straight way gives the same rows, facts, counts and rejections;
//! what it refuses is refused alike.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use order_model::Lifecycle;
use otlp_columns::redact::{RedactionRules, ValueRule};
use otlp_columns::{Limits, Mapper, Redaction};
use proptest::prelude::*;
use prost::Message;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::both_ways::{Way, check};
use crate::mutations::mutated;
use crate::requests::traces_request;

/// One for all bodies, as in the collector.
static MAPPER: LazyLock<Mapper> = LazyLock::new(|| mapper(Limits::default()));

fn mapper(limits: Limits) -> Mapper {
    let rules = RedactionRules {
        keys: vec!["plain.*".into(), "*.inn".into()],
        kept_keys: vec!["plain".into()],
        off: vec!["jwt".into()],
        values: vec![ValueRule { name: "own".into(), pattern: "[a-c]{3}|ORD".into() }],
    };
    let redaction = Redaction::of(&rules).unwrap();
    Mapper::new(Arc::new(Lifecycle::default()), redaction, limits)
}

/// What is remembered from one body to the next must change nothing: each goes three times.
fn check_again(mapper: &Mapper, body: &Bytes) -> Way {
    check(mapper, body);
    check(mapper, body);
    check(mapper, body)
}

/// Bounds so narrow that requests meet them.
fn narrow_limits() -> impl Strategy<Value = Limits> {
    let items = (0_usize..8, 0_usize..6, 0_usize..3, 0_usize..3);
    let texts = (0_usize..16, 0_usize..24, 0_usize..3, 0_usize..3);
    let memory = prop_oneof![Just(usize::MAX), 0_usize..20_000];
    (items, texts, memory.clone(), memory).prop_map(
        |(
            (items_max, attributes_max, events_max, links_max),
            (key_bytes_max, value_bytes_max, depth_max, order_ids_max),
            structures_bytes_max,
            row_bytes_max,
        )| Limits {
            structures_bytes_max,
            row_bytes_max,
            items_max,
            attributes_max,
            key_bytes_max,
            value_bytes_max,
            events_max,
            links_max,
            depth_max,
            order_ids_max,
            ..Limits::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_senders_write_goes_straight(request in traces_request()) {
        let way = check_again(&MAPPER, &request.encode_to_vec().into());
        prop_assert!(matches!(way, Way::Straight | Way::Empty), "{:?}", way);
    }

    #[test]
    fn bounds_are_the_same(request in traces_request(), limits in narrow_limits()) {
        check_again(&mapper(limits), &request.encode_to_vec().into());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_no_sender_writes_is_the_same(
        request in traces_request(),
        limits in narrow_limits(),
        seed in any::<u64>(),
    ) {
        let mut rng = StdRng::seed_from_u64(seed);
        let body = mutated(&request.encode_to_vec(), &mut rng).into();
        check(&MAPPER, &body);
        check_again(&mapper(limits), &body);
    }

    #[test]
    fn any_bytes_are_the_same(body in proptest::collection::vec(any::<u8>(), 0..256)) {
        check(&MAPPER, &Bytes::from(body));
    }
}
