//! Numbers, ids and bytes in the spellings that JSON of protobuf allows.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Standard and URL-safe alphabets, with or without padding: the JSON mapping accepts all.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Stands for an id that is not hexadecimal: one byte, which is no valid length of any id, so
/// that its item is rejected and the others are kept, and not zero, which says that there is none.
const NOT_AN_ID: [u8; 1] = [0xff];

/// An integer as a number or as text.
pub(super) struct Int<T>(pub(super) T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Int<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntVisitor(PhantomData))
    }
}

struct IntVisitor<T>(PhantomData<T>);

impl<T: TryFrom<i128>> IntVisitor<T> {
    fn fit<E: Error>(value: i128) -> Result<Int<T>, E> {
        let fitting = T::try_from(value).map(Int);
        fitting.map_err(|_| E::custom(format_args!("integer {value} is out of range")))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for IntVisitor<T> {
    type Value = Int<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer, as a number or as text")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Self::fit(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Self::fit(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.fract() != 0.0 || !value.is_finite() {
            return Err(E::custom(format_args!("{value} is not an integer")));
        }
        #[expect(clippy::cast_possible_truncation, reason = "saturates; out of range is refused")]
        Self::fit(value as i128)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        let number = value.trim().parse().map_err(|_| {
            let shown: String = value.chars().take(40).collect();
            E::custom(format_args!("`{shown}` is not an integer"))
        })?;
        Self::fit(number)
    }
}

/// A floating-point number, or its name.
pub(super) struct Double(pub(super) f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DoubleVisitor)
    }
}

struct DoubleVisitor;

impl Visitor<'_> for DoubleVisitor {
    type Value = Double;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or `NaN`, `Infinity`, `-Infinity`")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Double, E> {
        Ok(Double(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "the field is a double")]
    fn visit_u64<E: Error>(self, value: u64) -> Result<Double, E> {
        Ok(Double(value as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "the field is a double")]
    fn visit_i64<E: Error>(self, value: i64) -> Result<Double, E> {
        Ok(Double(value as f64))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Double, E> {
        value.trim().parse().map(Double).map_err(|_| {
            let shown: String = value.chars().take(40).collect();
            E::custom(format_args!("`{shown}` is not a number"))
        })
    }
}

/// A trace or span id in hexadecimal, upper or lower case.
pub(super) struct Hex(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(HexVisitor)
    }
}

struct HexVisitor;

impl Visitor<'_> for HexVisitor {
    type Value = Hex;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id in hexadecimal")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Hex, E> {
        Ok(Hex(hex::decode(value).unwrap_or_else(|_| NOT_AN_ID.to_vec())))
    }
}

/// Bytes in base64.
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor)
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Base64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes in base64")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Base64, E> {
        let decoded = STANDARD.decode(value).or_else(|_| URL_SAFE.decode(value));
        decoded.map(Base64).map_err(|error| E::custom(format_args!("not base64: {error}")))
    }
}

/// An enumeration of OTLP whose values have names.
pub(super) trait Named {
    /// The number of a name; `None` when there is no such name.
    fn number_of(name: &str) -> Option<i32>;
}

/// A value of an enumeration as its number or its name; an unknown name is the zero value, which
/// every enumeration of OTLP keeps for "unspecified".
pub(super) struct Enumerated<E> {
    pub(super) number: i32,
    kind: PhantomData<E>,
}

impl<'de, N: Named> Deserialize<'de> for Enumerated<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EnumeratedVisitor(PhantomData))
    }
}

struct EnumeratedVisitor<N>(PhantomData<N>);

impl<N: Named> Visitor<'_> for EnumeratedVisitor<N> {
    type Value = Enumerated<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number or the name of an enumeration's value")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Enumerated { number: i32::try_from(value).unwrap_or(0), kind: PhantomData })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Enumerated { number: i32::try_from(value).unwrap_or(0), kind: PhantomData })
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Enumerated { number: N::number_of(value).unwrap_or(0), kind: PhantomData })
    }
}
