//! The lifecycle file as it is written: unchecked, with the place of every value.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_spanned::Spanned;

/// Text with its place.
pub(super) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) skew: Text,
    pub(super) promise: Promise,
    pub(super) calculation: Calculation,
    #[serde(rename = "stage", default)]
    pub(super) stages: Vec<Stage>,
    #[serde(rename = "handover", default)]
    pub(super) handovers: Vec<Handover>,
    pub(super) silence: Silence,
    #[serde(default)]
    pub(super) waiting_for: BTreeMap<String, Label>,
    pub(super) keys: Keys,
    #[serde(rename = "rule", default)]
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promise {
    pub(super) from: Text,
    pub(super) to: Text,
    pub(super) within: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calculation {
    pub(super) requested_by: Text,
    pub(super) started_by: Text,
    pub(super) failed_by: Text,
    pub(super) answered_by: Vec<Text>,
    pub(super) late: Text,
    pub(super) stuck: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stage {
    pub(super) name: Text,
    pub(super) ru: Text,
    pub(super) en: Text,
    #[serde(default)]
    pub(super) set_by: Vec<Text>,
    pub(super) waiting_for: Text,
    #[serde(default)]
    pub(super) skipped_by: Vec<Text>,
    #[serde(default)]
    pub(super) terminal: bool,
    #[serde(default)]
    pub(super) means_model: bool,
    pub(super) measured_from: Option<Text>,
    pub(super) late: Option<Text>,
    pub(super) stuck: Option<Text>,
    pub(super) ready_made: Option<ReadyMade>,
    pub(super) abandoned_after: Option<Text>,
    pub(super) not_confirmed_after: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handover {
    pub(super) destination: Text,
    pub(super) from: Vec<Text>,
    pub(super) to: Vec<Text>,
    pub(super) lost_after: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Silence {
    pub(super) after: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyMade {
    pub(super) waiting_for: Text,
    pub(super) late: Text,
    pub(super) stuck: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Label {
    pub(super) ru: Text,
    pub(super) en: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    pub(super) order_id: Spanned<Vec<Text>>,
    pub(super) stage: Spanned<Vec<Text>>,
    pub(super) kind: Spanned<Vec<Text>>,
    pub(super) channel: Spanned<Vec<Text>>,
    pub(super) model: Spanned<Vec<Text>>,
    pub(super) partner_number: Spanned<Vec<Text>>,
    pub(super) partner: Spanned<Vec<Text>>,
    pub(super) message_id: Spanned<Vec<Text>>,
    pub(super) heartbeat: Spanned<Vec<Text>>,
    pub(super) attempt: Spanned<Vec<Text>>,
    pub(super) error: Spanned<Vec<Text>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) name: Text,
    pub(super) service: Option<Text>,
    pub(super) span: Option<Text>,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) signal: Text,
    pub(super) at: Option<Text>,
}
