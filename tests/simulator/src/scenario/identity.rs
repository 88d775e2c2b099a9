//! Who an order is: its number, its ids in each system's spelling, and its habits.

use crate::attributes::{
    APP_ORDER_ID, ORDER_CHANNEL, ORDER_ID, ORDER_ID_CAMEL, ORDER_ID_SNAKE, ORDER_KIND,
    ORDER_MODEL_KEY, ORDER_PARTNER_NUMBER, ORDER_STAGE, PARTNER_ID,
};
use crate::stage::{Channel, Kind, Stage};
use crate::trace_plan::{Attributes, System, Value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Orders of one run are numbered below this, so that two runs with different seeds never share
/// an order id: the id is the seed followed by exactly six digits. At the bound no further order
/// is made, and the run says so.
pub const ORDERS_MAX: u64 = 1_000_000;

/// The partners, and how each writes its own order numbers.
const PARTNERS: [(&str, &str); 3] =
    [("aurum-studio", "AUR"), ("ring-atelier", "RA"), ("silverline", "SL")];

/// Everything about an order that stays the same through its life.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number within the run, from 1.
    pub number: u64,
    /// Its id, like `ORD-2026-42000123` or `B2B-2026-42000045`.
    pub id: String,
    /// Who ordered it.
    pub channel: Channel,
    /// What is ordered.
    pub kind: Kind,
    /// Object key of the 3D model, when there is one.
    pub model_key: Option<String>,
    /// Id of the partner and the partner's own order number.
    pub partner: Option<(String, String)>,
    /// Makes the ids of its messages unique.
    pub message_salt: u64,
}

impl Identity {
    /// The order with this number in the run with this seed, ordered in this year.
    #[must_use]
    pub fn new(seed: u32, number: u64, year: i32, channel: Channel, kind: Kind) -> Self {
        let mut rng = order_rng(seed, number);
        let prefix = match channel {
            Channel::B2c => "ORD",
            Channel::B2b => "B2B",
        };
        let model_key = (kind == Kind::Custom)
            .then(|| format!("models/{:032x}.stl", rng.random_range(0..u128::MAX)));
        let partner = (channel == Channel::B2b).then(|| {
            let (id, code) = PARTNERS[rng.random_range(0..PARTNERS.len())];
            (id.to_owned(), format!("{code}-{seed}{number:06}"))
        });
        Self {
            number,
            id: format!("{prefix}-{year}-{seed}{number:06}"),
            channel,
            kind,
            model_key,
            partner,
            message_salt: rng.random_range(0..u64::MAX),
        }
    }

    /// The order id in the spelling of that system. A quarter of the orders go through an older
    /// part of the shop, which spells it differently.
    #[must_use]
    pub fn named_by(&self, system: System) -> Attributes {
        let key = match system {
            System::Shop if self.number % 4 == 3 => APP_ORDER_ID,
            System::Shop => ORDER_ID,
            System::Crm => ORDER_ID_SNAKE,
            System::Mes => ORDER_ID_CAMEL,
        };
        vec![(key.to_owned(), Value::Text(self.id.clone()))]
    }

    /// What a stage signal of that system says.
    #[must_use]
    pub fn stage_attributes(&self, system: System, stage: Stage) -> Attributes {
        let mut attributes = self.named_by(system);
        attributes.push((ORDER_STAGE.to_owned(), stage.name().into()));
        attributes.push((ORDER_KIND.to_owned(), self.kind.name().into()));
        attributes.push((ORDER_CHANNEL.to_owned(), self.channel.name().into()));
        if let Some(key) = self.model_key.as_ref().filter(|_| stage != Stage::Initiated) {
            attributes.push((ORDER_MODEL_KEY.to_owned(), key.clone().into()));
        }
        attributes.extend(self.partner_attributes());
        attributes
    }

    /// The partner and the partner's own number of the order; nothing for B2C.
    #[must_use]
    pub fn partner_attributes(&self) -> Attributes {
        self.partner.as_ref().map_or_else(Vec::new, |(id, number)| {
            vec![
                (PARTNER_ID.to_owned(), id.clone().into()),
                (ORDER_PARTNER_NUMBER.to_owned(), number.clone().into()),
            ]
        })
    }

    /// The id of the message that this order's nth try sends through a queue.
    #[must_use]
    pub fn message_id(&self, queue: &str, attempt: i64) -> String {
        format!("{:016x}-{}-{attempt}", self.message_salt, queue.replace('.', "-"))
    }

    /// Whether the order's unnamed traces are named by a span that ends after its siblings.
    #[must_use]
    pub const fn named_late(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// Whether the CRM's consumers leave the order unnamed, so that only the link tells.
    #[must_use]
    pub const fn named_by_link_alone(&self) -> bool {
        self.number.is_multiple_of(3)
    }

    /// Whether MES reports stages as log records rather than zero-length spans.
    #[must_use]
    pub const fn mes_writes_logs(&self) -> bool {
        (self.number / 2).is_multiple_of(2)
    }

    /// Whether packing is done in the part of MES that nobody can change: a plain span, from
    /// which only a rule tells the stage.
    #[must_use]
    pub const fn packed_by_old_screen(&self) -> bool {
        (self.number / 4).is_multiple_of(2)
    }
}

/// The randomness of one order, independent of all other orders of the run.
#[must_use]
pub fn order_rng(seed: u32, number: u64) -> StdRng {
    StdRng::seed_from_u64((u64::from(seed) << 32) ^ number)
}
