//! Values as the rules see them: borrowed, whatever they were decoded to.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// A value of an attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueView<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// An array or a map.
    Tree(&'a Value),
    /// An index into a table of strings that traces and logs do not have.
    Index,
}

impl<'a> From<&'a Value> for ValueView<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::StringValue(text) => Self::Text(text),
            Value::BoolValue(value) => Self::Bool(*value),
            Value::IntValue(value) => Self::Int(*value),
            Value::DoubleValue(value) => Self::Double(*value),
            Value::BytesValue(bytes) => Self::Bytes(bytes),
            Value::ArrayValue(_) | Value::KvlistValue(_) => Self::Tree(value),
            Value::StringValueStrindex(_) => Self::Index,
        }
    }
}

/// The value of a pair, if it has one.
pub(crate) fn value_of(pair: &KeyValue) -> Option<ValueView<'_>> {
    pair.value.as_ref()?.value.as_ref().map(ValueView::from)
}
