//! Mappers with the default bounds, and with bounds so narrow that small inputs meet them.

use std::sync::{Arc, LazyLock};

use order_model::Lifecycle;
use otlp_columns::{Limits, Mapper, Redaction};

static MAPPERS: LazyLock<[Mapper; 2]> = LazyLock::new(|| {
    let narrow = Limits {
        items_max: 3,
        attributes_max: 2,
        key_bytes_max: 9,
        value_bytes_max: 11,
        events_max: 1,
        links_max: 1,
        depth_max: 1,
        order_ids_max: 1,
        row_bytes_max: 4_000,
        structures_bytes_max: 8_000,
        ..Limits::default()
    };
    [Limits::default(), narrow].map(|limits| {
        let redaction = Redaction::with(&["plain.*".to_owned()]).expect("a pattern");
        Mapper::new(Arc::new(Lifecycle::default()), redaction, limits)
    })
});

/// The mappers, made once.
pub fn mappers() -> &'static [Mapper] {
    &*MAPPERS
}
