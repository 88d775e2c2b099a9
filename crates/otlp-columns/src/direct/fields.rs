//! The fields of one protobuf message, one after the other, borrowed from the body.
//!
//! Wire format: <https://protobuf.dev/programming-guides/encoding/>.

/// The bytes are not such as senders write: broken, or of a form that the other path knows better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd;

/// A walk over the fields of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The key of a field of the wire type "varint".
pub(super) const fn varint(tag: u32) -> u32 {
    tag << 3
}

/// The key of a field of eight bytes.
pub(super) const fn fixed64(tag: u32) -> u32 {
    tag << 3 | 1
}

/// The key of a field with a length: a text, bytes, or a message.
pub(super) const fn sized(tag: u32) -> u32 {
    tag << 3 | 2
}

/// The key of a field of four bytes.
pub(super) const fn fixed32(tag: u32) -> u32 {
    tag << 3 | 5
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Field number and wire type of the next field; `None` at the end of the message.
    #[inline]
    pub(super) fn next_key(&mut self) -> Result<Option<u32>, Odd> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Odd)?;
        // No field has the number zero.
        if key < 8 { Err(Odd) } else { Ok(Some(key)) }
    }

    /// The number that follows.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Odd> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            [first, second, rest @ ..] if *second < 0x80 => {
                self.rest = rest;
                Ok(u64::from(first & 0x7f) | u64::from(*second) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Odd> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                // The tenth byte has room for one bit.
                return if index == 9 && *byte > 1 { Err(Odd) } else { Ok(value) };
            }
        }
        Err(Odd)
    }

    /// The length and the bytes that follow.
    #[inline]
    pub(super) fn sized(&mut self) -> Result<&'a [u8], Odd> {
        let length = usize::try_from(self.varint()?).map_err(|_| Odd)?;
        let (payload, rest) = self.rest.split_at_checked(length).ok_or(Odd)?;
        self.rest = rest;
        Ok(payload)
    }

    /// The eight bytes that follow, as a number.
    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64, Odd> {
        let (number, rest) = self.rest.split_first_chunk::<8>().ok_or(Odd)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*number))
    }

    /// Passes a field by that is not known; returns how long its payload is, if it is a sized one.
    ///
    /// Fields up to `known_max` are known to the protocol: here their wire type is wrong.
    #[cold]
    pub(super) fn skip(&mut self, key: u32, known_max: u32) -> Result<usize, Odd> {
        if key >> 3 <= known_max {
            return Err(Odd);
        }
        match key & 7 {
            0 => self.varint().map(|_| 0),
            1 => self.fixed64().map(|_| 0),
            2 => self.sized().map(<[u8]>::len),
            5 => self.fixed32().map(|()| 0),
            // Groups are not part of OTLP.
            _ => Err(Odd),
        }
    }

    /// Passes the number by that follows.
    pub(super) fn pass_varint(&mut self) -> Result<(), Odd> {
        self.varint().map(|_| ())
    }

    /// Passes the four bytes by that follow.
    pub(super) fn fixed32(&mut self) -> Result<(), Odd> {
        self.rest = self.rest.get(4..).ok_or(Odd)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_prost_reads_them() {
        for bytes in [
            &[0x00_u8][..],
            &[0x7f],
            &[0x80, 0x01],
            &[0xff, 0xff, 0x03],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x80],
            &[0x80, 0x80],
        ] {
            let mut rest = bytes;
            let expected = prost::encoding::decode_varint(&mut rest).map_err(|_| Odd);
            let mut fields = Fields::of(bytes);
            assert_eq!(fields.varint(), expected, "{bytes:?}");
            if expected.is_ok() {
                assert_eq!(fields.rest, rest, "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_torn_or_unknown_is_odd_or_passed_by() {
        assert_eq!(Fields::of(&[0x02, 0x00]).next_key(), Err(Odd));
        assert_eq!(Fields::of(&[3, 1]).sized(), Err(Odd));
        assert_eq!(Fields::of(&[1; 7]).fixed64(), Err(Odd));
        for (key, known_max, expected) in [
            (varint(9), 8, Ok(0)),
            (varint(9), 9, Err(Odd)),
            (sized(9), 8, Ok(1)),
            (fixed32(9), 8, Ok(0)),
            (fixed64(9), 8, Ok(0)),
            (9 << 3 | 3, 8, Err(Odd)),
            (9 << 3 | 6, 8, Err(Odd)),
        ] {
            assert_eq!(Fields::of(&[1; 8]).skip(key, known_max), expected, "{key}");
        }
    }
}
