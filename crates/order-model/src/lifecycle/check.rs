//! From the file as written to a checked [`Lifecycle`], collecting every mistake.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_spanned::Spanned;

use super::file::{File, Handover as FileHandover, Keys as FileKeys, Label as FileLabel};
use super::file::{ReadyMade as FileReadyMade, Rule as FileRule, Stage as FileStage, Text};
use super::{
    Calculation, Deadlines, Handover, Keys, Label, Lifecycle, Mistake, Mistakes, Promise,
    ReadyMade, Rule, RuleSignal, SpanMoment, Stage,
};
use crate::keys::{CHANNEL_B2B, CHANNEL_B2C, KIND_CUSTOM, KIND_READY_MADE, SIGNAL_PRICE_REQUESTED};

/// What `skipped_by` may name.
const SKIPPERS: [&str; 4] = [KIND_READY_MADE, KIND_CUSTOM, CHANNEL_B2B, CHANNEL_B2C];
/// The one value of `measured_from`.
const FROM_PRICE_REQUEST: &str = "price_request";
/// Most stages; ranks and pages are made for a lifecycle that a person can survey.
const STAGES_MAX: usize = 64;

pub(super) fn check(text: &str) -> Result<Lifecycle, Mistakes> {
    let file: File = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        Mistakes(vec![Mistake { line: line_of(text, start), reason: error.message().to_owned() }])
    })?;
    let mut checker = Checker {
        text,
        mistakes: Vec::new(),
        stages: file.stages.iter().map(|s| s.name.get_ref().clone()).collect(),
        waiting_for: file.waiting_for.keys().cloned().collect(),
        destinations: BTreeSet::new(),
    };
    let lifecycle = checker.lifecycle(file);
    let mut mistakes = checker.mistakes;
    if mistakes.is_empty() {
        return Ok(lifecycle);
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    Err(Mistakes(mistakes))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

struct Checker<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
    stages: BTreeSet<String>,
    waiting_for: BTreeSet<String>,
    destinations: BTreeSet<String>,
}

impl Checker<'_> {
    fn mistake<T>(&mut self, at: &Spanned<T>, reason: String) {
        self.mistakes.push(Mistake { line: line_of(self.text, at.span().start), reason });
    }

    fn lifecycle(&mut self, file: File) -> Lifecycle {
        self.stage_list(&file.stages);
        let mut lifecycle = Lifecycle {
            skew: self.duration(&file.skew),
            promise: Promise {
                from: self.stage_name(file.promise.from),
                to: self.stage_name(file.promise.to),
                within: self.duration(&file.promise.within),
            },
            calculation: self.calculation(file.calculation),
            stages: Vec::new(),
            handovers: file.handovers.into_iter().map(|h| self.handover(h)).collect(),
            silent_after: self.duration(&file.silence.after),
            waiting_for: file.waiting_for.into_iter().map(|(k, l)| (k, self.label(l))).collect(),
            keys: self.keys(file.keys),
            rules: Vec::new(),
        };
        lifecycle.stages = file.stages.into_iter().map(|stage| self.stage(stage)).collect();
        self.rule_names(&file.rules);
        lifecycle.rules = file.rules.into_iter().map(|rule| self.rule(rule)).collect();
        lifecycle
    }

    fn stage_list(&mut self, stages: &[FileStage]) {
        let mut seen = BTreeSet::new();
        for stage in stages {
            if !seen.insert(stage.name.get_ref()) {
                let name = stage.name.get_ref();
                self.mistake(&stage.name, format!("stage `{name}` stands twice; names are unique"));
            }
        }
        if stages.is_empty() || stages.len() > STAGES_MAX {
            let reason = format!("{} stages; there must be 1 to {STAGES_MAX}", stages.len());
            self.mistakes.push(Mistake { line: 1, reason });
        }
    }

    fn calculation(&mut self, file: super::file::Calculation) -> Calculation {
        let Deadlines { late, stuck } = self.deadlines(&file.late, &file.stuck);
        Calculation {
            requested_by: self.stage_name(file.requested_by),
            started_by: self.stage_name(file.started_by),
            failed_by: self.stage_name(file.failed_by),
            answered_by: file.answered_by.into_iter().map(|s| self.stage_name(s)).collect(),
            late,
            stuck,
        }
    }

    fn stage(&mut self, file: FileStage) -> Stage {
        let name = self.filled(file.name.clone());
        let deadlines = match (&file.late, &file.stuck) {
            (Some(late), Some(stuck)) => Some(self.deadlines(late, stuck)),
            (None, None) => None,
            (one, other) => {
                if let Some(alone) = one.as_ref().or(other.as_ref()) {
                    let reason =
                        format!("stage `{name}` needs both `late` and `stuck`, or neither");
                    self.mistake(alone, reason);
                }
                None
            }
        };
        let ends = [&file.abandoned_after, &file.not_confirmed_after];
        for deadline in ends.into_iter().flatten().filter(|_| file.terminal) {
            let reason = format!("orders end in `{name}`: nothing is waited for afterwards");
            self.mistake(deadline, reason);
        }
        Stage {
            label: Label { ru: self.filled(file.ru), en: self.filled(file.en) },
            set_by: file.set_by.into_iter().map(|service| self.filled(service)).collect(),
            waiting_for: self.waiting_key(file.waiting_for),
            skipped_by: file.skipped_by.into_iter().map(|who| self.skipper(who)).collect(),
            terminal: file.terminal,
            means_model: file.means_model,
            measured_from_price_request: self.measured_from(file.measured_from.as_ref()),
            deadlines,
            ready_made: file.ready_made.map(|ready_made| self.ready_made(ready_made)),
            abandoned_after: file.abandoned_after.map(|after| self.duration(&after)),
            not_confirmed_after: file.not_confirmed_after.map(|after| self.duration(&after)),
            name,
        }
    }

    fn handover(&mut self, file: FileHandover) -> Handover {
        if file.from.is_empty() || file.to.is_empty() {
            let reason = "a hand-over needs at least one service in `from` and in `to`";
            self.mistake(&file.destination, reason.to_owned());
        }
        if !self.destinations.insert(file.destination.get_ref().clone()) {
            let name = file.destination.get_ref();
            let reason = format!("destination `{name}` stands twice; they are unique");
            self.mistake(&file.destination, reason);
        }
        Handover {
            destination: self.filled(file.destination),
            from: file.from.into_iter().map(|service| self.filled(service)).collect(),
            to: file.to.into_iter().map(|service| self.filled(service)).collect(),
            lost_after: self.duration(&file.lost_after),
        }
    }

    fn ready_made(&mut self, file: FileReadyMade) -> ReadyMade {
        ReadyMade {
            waiting_for: self.waiting_key(file.waiting_for),
            deadlines: self.deadlines(&file.late, &file.stuck),
        }
    }

    fn rule_names(&mut self, rules: &[FileRule]) {
        let mut seen = BTreeSet::new();
        for rule in rules {
            if !seen.insert(rule.name.get_ref()) {
                let name = rule.name.get_ref();
                self.mistake(&rule.name, format!("rule `{name}` stands twice; names are unique"));
            }
        }
    }

    fn rule(&mut self, file: FileRule) -> Rule {
        if file.service.is_none() && file.span.is_none() && file.attributes.is_empty() {
            let reason = "a rule needs `service`, `span` or `attributes`, or it means every span";
            self.mistake(&file.name, reason.to_owned());
        }
        let signal = if file.signal.get_ref() == SIGNAL_PRICE_REQUESTED {
            RuleSignal::PriceRequested
        } else {
            RuleSignal::Stage(self.stage_name(file.signal))
        };
        let at = match file.at.as_ref().map(|at| at.get_ref().as_str()) {
            None | Some("start") => SpanMoment::Start,
            Some("end") => SpanMoment::End,
            Some(other) => {
                let reason = format!("`at` is `start` or `end`, not `{other}`");
                if let Some(at) = &file.at {
                    self.mistake(at, reason);
                }
                SpanMoment::Start
            }
        };
        Rule {
            name: self.filled(file.name),
            service: file.service.map(|service| self.filled(service)),
            span: file.span.map(|span| self.filled(span)),
            attributes: file.attributes,
            signal,
            at,
        }
    }

    fn keys(&mut self, file: FileKeys) -> Keys {
        let mut list = |keys: Spanned<Vec<Text>>| -> Vec<String> {
            if keys.get_ref().is_empty() {
                self.mistake(&keys, "at least one spelling is needed".to_owned());
            }
            keys.into_inner().into_iter().map(|key| self.filled(key)).collect()
        };
        Keys {
            order_id: list(file.order_id),
            stage: list(file.stage),
            kind: list(file.kind),
            channel: list(file.channel),
            model: list(file.model),
            partner_number: list(file.partner_number),
            partner: list(file.partner),
            message_id: list(file.message_id),
            heartbeat: list(file.heartbeat),
            attempt: list(file.attempt),
            error: list(file.error),
        }
    }

    fn label(&mut self, file: FileLabel) -> Label {
        Label { ru: self.filled(file.ru), en: self.filled(file.en) }
    }

    fn filled(&mut self, text: Text) -> String {
        if text.get_ref().trim().is_empty() {
            self.mistake(&text, "this text cannot be empty".to_owned());
        }
        text.into_inner()
    }

    fn stage_name(&mut self, name: Text) -> String {
        if !self.stages.contains(name.get_ref()) {
            let reason = format!("`{}` is no stage of this lifecycle", name.get_ref());
            self.mistake(&name, reason);
        }
        name.into_inner()
    }

    fn waiting_key(&mut self, key: Text) -> String {
        if !self.waiting_for.contains(key.get_ref()) {
            let reason = format!("`{}` has no words in [waiting_for]", key.get_ref());
            self.mistake(&key, reason);
        }
        key.into_inner()
    }

    fn skipper(&mut self, who: Text) -> String {
        if !SKIPPERS.contains(&who.get_ref().as_str()) {
            let reason = format!("`{}` skips nothing; write one of {SKIPPERS:?}", who.get_ref());
            self.mistake(&who, reason);
        }
        who.into_inner()
    }

    fn measured_from(&mut self, from: Option<&Text>) -> bool {
        let Some(from) = from else { return false };
        if from.get_ref() != FROM_PRICE_REQUEST {
            let reason = format!("`measured_from` can only be `{FROM_PRICE_REQUEST}`");
            self.mistake(from, reason);
        }
        true
    }

    fn deadlines(&mut self, late: &Text, stuck: &Text) -> Deadlines {
        let deadlines = Deadlines { late: self.duration(late), stuck: self.duration(stuck) };
        if deadlines.stuck < deadlines.late {
            self.mistake(stuck, "`stuck` cannot come before `late`".to_owned());
        }
        deadlines
    }

    fn duration(&mut self, text: &Text) -> Duration {
        match humantime::parse_duration(text.get_ref()) {
            Ok(duration) if !duration.is_zero() => duration,
            Ok(_) => {
                self.mistake(text, "a duration above zero is needed".to_owned());
                Duration::ZERO
            }
            Err(error) => {
                let reason = format!("`{}`: {error}; write for example `30min`", text.get_ref());
                self.mistake(text, reason);
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEFAULT_TOML;
    use super::*;

    #[test]
    fn the_default_is_valid_and_whole() {
        let lifecycle = check(DEFAULT_TOML).unwrap();
        assert_eq!(lifecycle.stages.len(), 13);
        assert_eq!(lifecycle.rank("INITIATED"), 1);
        assert!(lifecycle.rank("CALCULATION_FAILED") < lifecycle.rank("PRICE_CALCULATED"));
        assert_eq!(lifecycle.rank("NO_SUCH"), 0);
        assert_eq!(lifecycle.calculation.stuck, Duration::from_secs(3600));
    }

    #[test]
    fn every_mistake_has_its_line_and_reason() {
        let cases = [
            ("skew = \"2s\"", "skew = \"soon\"", "write for example `30min`"),
            ("from = \"SUBMITTED\"", "from = \"NOPE\"", "`NOPE` is no stage"),
            ("name = \"CLOSED\"", "name = \"SHIPPED\"", "stands twice"),
            ("waiting_for = \"carrier\"", "waiting_for = \"post\"", "no words in [waiting_for]"),
            ("late = \"10d\"", "late = \"15d\"", "cannot come before `late`"),
            ("skipped_by = [\"b2b\"]", "skipped_by = [\"vip\"]", "skips nothing"),
            ("measured_from = \"price_request\"", "measured_from = \"x\"", "can only be"),
            ("en = \"Cart\"", "en = \" \"", "cannot be empty"),
            ("en = \"Cart\"", "ne = \"Cart\"", "unknown field `ne`"),
            ("signal = \"PACKAGING\"", "signal = \"PACKED\"", "`PACKED` is no stage"),
            ("span = \"send calc.requests\"", "", "or it means every span"),
            ("from = [\"shop\"]", "from = []", "needs at least one service"),
            ("destination = \"crm.prices\"", "destination = \"crm.orders\"", "stands twice"),
            (
                "abandoned_after = \"7d\"",
                "terminal = true\nabandoned_after = \"7d\"",
                "orders end in",
            ),
            ("kind = [\"order.kind\", \"order_kind\", \"orderKind\"]", "kind = []", "at least one"),
        ];
        for (from, to, reason) in cases {
            assert!(DEFAULT_TOML.contains(from), "{from}");
            let text = DEFAULT_TOML.replacen(from, to, 1);
            let at = DEFAULT_TOML.find(from).unwrap();
            let Mistakes(mistakes) = check(&text).unwrap_err();
            let found = mistakes.iter().find(|m| m.reason.contains(reason));
            let found = found.unwrap_or_else(|| panic!("{to}: {mistakes:?}"));
            let expected = line_of(DEFAULT_TOML, at);
            assert!(
                found.line.abs_diff(expected) <= 1,
                "{to}: {found:?}, expected line {expected}"
            );
        }
    }
}
