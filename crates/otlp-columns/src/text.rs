//! Values as text, as the OpenTelemetry ClickHouse exporter writes them (`pcommon.Value.AsString`):
//! strings as they are, numbers plainly, bytes in base64, arrays and maps as JSON.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::redact::{REDACTED, Redaction, Verdict};

/// What happened while values were written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Losses {
    /// Values removed or cut by a redaction rule.
    pub(crate) redacted: u64,
    /// Keys, values or texts that were longer or deeper than allowed.
    pub(crate) cut: u64,
}

/// Writes values with the redaction rules and bounds of one mapping.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) redaction: &'a Redaction,
    pub(crate) depth_max: usize,
}

impl Writer<'_> {
    /// The value of `key` as text of at most `bytes_max` bytes.
    pub(crate) fn text(
        self,
        key: &str,
        value: Option<AnyValue>,
        bytes_max: usize,
        losses: &mut Losses,
    ) -> String {
        let Some(value) = value.and_then(|any| any.value) else { return String::new() };
        let verdict = self.redaction.verdict(key);
        if verdict == Verdict::Remove {
            losses.redacted += 1;
            return REDACTED.to_owned();
        }
        let mut text = match value {
            Value::StringValue(text) => self.apply(verdict, text, losses),
            Value::BoolValue(value) => value.to_string(),
            Value::IntValue(value) => value.to_string(),
            Value::DoubleValue(value) => double(value),
            Value::BytesValue(value) => STANDARD.encode(value),
            Value::StringValueStrindex(_) => String::new(),
            Value::ArrayValue(_) | Value::KvlistValue(_) => {
                self.tree(key, &value, bytes_max, losses)
            }
        };
        cut(&mut text, bytes_max, losses);
        text
    }

    /// An array or a map as JSON, which may be longer than `bytes_max`.
    pub(crate) fn tree(
        self,
        key: &str,
        value: &Value,
        bytes_max: usize,
        losses: &mut Losses,
    ) -> String {
        let mut out = Json { writer: self, bytes_max, out: String::new(), losses };
        out.value(key, value, 0);
        out.out
    }

    fn apply(self, verdict: Verdict, text: String, losses: &mut Losses) -> String {
        let changed = self.redaction.mended(verdict, &text);
        losses.redacted += u64::from(changed.is_some());
        changed.unwrap_or(text)
    }
}

/// Cuts `text` at the character boundary at or below `bytes_max`.
pub(crate) fn cut(text: &mut String, bytes_max: usize, losses: &mut Losses) {
    let kept = within(text, bytes_max, losses).len();
    text.truncate(kept);
}

/// The beginning of `text` up to the character boundary at or below `bytes_max`.
#[inline]
pub(crate) fn within<'t>(text: &'t str, bytes_max: usize, losses: &mut Losses) -> &'t str {
    if text.len() <= bytes_max {
        return text;
    }
    losses.cut += 1;
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The shortest text that reads back as the same number; with an exponent below 1e-6 and from
/// 1e21, as JavaScript, Go's JSON and so the exporter write it.
pub(crate) fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        return if magnitude >= 1.0 { text.replace('e', "e+") } else { text };
    }
    value.to_string()
}

/// JSON of a nested value. Stops growing soon after `bytes_max`, since the rest would be cut.
struct Json<'a, 'l> {
    writer: Writer<'a>,
    bytes_max: usize,
    out: String,
    losses: &'l mut Losses,
}

impl Json<'_, '_> {
    fn value(&mut self, path: &str, value: &Value, depth: usize) {
        match value {
            Value::StringValue(text) => {
                let verdict = self.writer.redaction.verdict(path);
                let text = self.writer.apply(verdict, text.clone(), self.losses);
                self.string(&text);
            }
            Value::BoolValue(value) => self.put(&value.to_string()),
            Value::IntValue(value) => self.put(&value.to_string()),
            Value::DoubleValue(value) if value.is_finite() => self.put(&double(*value)),
            Value::DoubleValue(value) => self.string(&double(*value)),
            Value::BytesValue(value) => self.string(&STANDARD.encode(value)),
            Value::StringValueStrindex(_) => self.put("null"),
            _ if depth >= self.writer.depth_max => {
                self.losses.cut += 1;
                self.string("…");
            }
            Value::ArrayValue(list) => self.array(path, &list.values, depth),
            Value::KvlistValue(list) => self.map(path, &list.values, depth),
        }
    }

    fn array(&mut self, path: &str, values: &[AnyValue], depth: usize) {
        self.put("[");
        for (index, value) in values.iter().enumerate() {
            if self.is_full() {
                break;
            }
            if index > 0 {
                self.put(",");
            }
            self.any(path, value, depth);
        }
        self.put("]");
    }

    fn map(&mut self, path: &str, values: &[KeyValue], depth: usize) {
        // The exporter sorts keys, so that equal maps are equal texts.
        let mut sorted: Vec<&KeyValue> = values.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        self.put("{");
        for (index, pair) in sorted.into_iter().enumerate() {
            if self.is_full() {
                break;
            }
            if index > 0 {
                self.put(",");
            }
            // A key may be data, too.
            let key = self.writer.apply(Verdict::Scrub, pair.key.clone(), self.losses);
            self.string(&key);
            self.put(":");
            let inner =
                if path.is_empty() { pair.key.clone() } else { format!("{path}.{}", pair.key) };
            if self.writer.redaction.verdict(&inner) == Verdict::Remove
                || self.writer.redaction.is_named(&pair.key)
            {
                self.losses.redacted += 1;
                self.string(REDACTED);
                continue;
            }
            match &pair.value {
                Some(value) => self.any(&inner, value, depth),
                None => self.put("null"),
            }
        }
        self.put("}");
    }

    fn any(&mut self, path: &str, value: &AnyValue, depth: usize) {
        match &value.value {
            Some(value) => self.value(path, value, depth + 1),
            None => self.put("null"),
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() > self.bytes_max
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                c if c.is_control() && c.is_ascii() => {
                    // Writing to a String cannot fail.
                    let _ = write!(self.out, "\\u{:04x}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() }
    }

    fn write(key: &str, value: Value, bytes_max: usize) -> (String, Losses) {
        let redaction = Redaction::with(&[]).unwrap();
        let writer = Writer { redaction: &redaction, depth_max: 3 };
        let mut losses = Losses::default();
        (writer.text(key, Some(any(value)), bytes_max, &mut losses), losses)
    }

    #[test]
    fn values_are_written_as_the_exporter_does() {
        let map = Value::KvlistValue(KeyValueList {
            values: vec![
                pair("b", Value::BytesValue(vec![1, 2])),
                pair("a", Value::StringValue("x\"\n\u{1}".into())),
            ],
        });
        let array = Value::ArrayValue(ArrayValue {
            values: vec![any(Value::IntValue(1)), AnyValue::default(), any(map)],
        });
        for (value, expected) in [
            (Value::StringValue("plain".into()), "plain"),
            (Value::BoolValue(true), "true"),
            (Value::IntValue(-9), "-9"),
            (Value::DoubleValue(637.704), "637.704"),
            (Value::DoubleValue(3.0), "3"),
            (Value::DoubleValue(1e21), "1e+21"),
            (Value::DoubleValue(1.5e-7), "1.5e-7"),
            (Value::DoubleValue(f64::NAN), "NaN"),
            (Value::BytesValue(vec![0xfb, 0xff]), "+/8="),
            (array, r#"[1,null,{"a":"x\"\n\u0001","b":"AQI="}]"#),
        ] {
            assert_eq!(write("k", value, 100).0, expected);
        }
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_cut_and_counted() {
        let (text, losses) = write("k", Value::StringValue("яяя".into()), 3);
        assert_eq!((text.as_str(), losses.cut), ("я", 1));
        let mut deep = Value::IntValue(1);
        for _ in 0..5 {
            deep = Value::ArrayValue(ArrayValue { values: vec![any(deep)] });
        }
        let (text, losses) = write("k", deep, 100);
        assert_eq!((text.as_str(), losses.cut), (r#"[[["…"]]]"#, 1));
    }

    #[test]
    fn redaction_reaches_into_maps() {
        let inner = Value::KvlistValue(KeyValueList {
            values: vec![
                pair("id", Value::IntValue(7)),
                pair("name", Value::StringValue("Anna".into())),
            ],
        });
        let (text, losses) = write("customer", inner.clone(), 100);
        assert_eq!(text, r#"{"id":7,"name":"[redacted]"}"#);
        assert_eq!(losses.redacted, 1);
        let outer = Value::KvlistValue(KeyValueList { values: vec![pair("customer", inner)] });
        assert!(!write("", outer, 100).0.contains("Anna"));
        let texts = ["call +79000000000", "fine", "https://u:p@h/?a=1"];
        let values = texts.map(|text| any(Value::StringValue(text.to_owned())));
        let list = Value::ArrayValue(ArrayValue { values: values.into() });
        let map = Value::KvlistValue(KeyValueList {
            values: vec![
                pair("a@b.ru", list),
                pair("id", Value::StringValue("4111111111111111".into())),
            ],
        });
        let (text, losses) = write("app.extra", map.clone(), 200);
        let expected =
            r#"{"[redacted]":["call [redacted]","fine","https://h/"],"id":"4111111111111111"}"#;
        assert_eq!((text.as_str(), losses.redacted), (expected, 3));
        assert_eq!(write("", map, 200).0, expected);
    }
}
