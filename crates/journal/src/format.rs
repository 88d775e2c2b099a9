//! The bytes of a segment file: its header, its records, and their checksums. No IO.
//!
//! All integers are little endian. A segment is a header of [`SEGMENT_HEADER_BYTES`] and then
//! records, each a header of [`RECORD_HEADER_BYTES`], its payload, and zeros up to a multiple of
//! [`ALIGNMENT`].
//!
//! The checksum of a record's header covers the journal, the segment and the offset as well. So a
//! payload that holds the bytes of a record (of another journal, or of another place in this one)
//! is never taken for one, and whole headers can be looked for behind a damaged place.

use uuid::Uuid;

/// Bytes of a segment's header.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
/// Bytes of a record's header.
pub(crate) const RECORD_HEADER_BYTES: u64 = 48;
/// Records begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 8;
/// Bytes of a whole boundary record.
pub(crate) const BOUNDARY_FRAMED_BYTES: u64 = RECORD_HEADER_BYTES + Boundary::BYTES as u64;
/// Bytes of a whole position record.
pub(crate) const POSITION_FRAMED_BYTES: u64 = RECORD_HEADER_BYTES + Position::BYTES as u64;

const SEGMENT_MAGIC: [u8; 8] = *b"waybilJ\n";
const RECORD_MAGIC: [u8; 4] = *b"wJr\n";
/// The version of this format. Another one is refused, never guessed at.
const VERSION: u32 = 1;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The file does not begin as a segment does.
    #[error("this is not a journal segment, or its header is damaged")]
    SegmentHeader,
    /// The segment was written by another version.
    #[error("format version {0} is not known here")]
    Version(u32),
    /// The header belongs to another file.
    #[error("the header is that of another segment")]
    OtherSegment,
    /// The segment belongs to another journal.
    #[error("the segment belongs to another journal")]
    OtherJournal,
    /// A segment between two others is not there.
    #[error("the segment before it is missing")]
    Missing,
    /// The oldest or the newest segment is not there, and the journal did not remove it.
    #[error("this segment is missing")]
    Absent,
    /// Fewer bytes than a record needs.
    #[error("the file ends inside a record")]
    Short,
    /// The checksum or the marks of a record's header are wrong.
    #[error("a record's header is damaged")]
    RecordHeader,
    /// The checksum of a payload is wrong.
    #[error("a record's payload is damaged")]
    Payload,
    /// A record is whole, but not the one that belongs here.
    #[error("a record has sequence {found} instead of {expected}")]
    Sequence {
        /// The sequence that belongs here.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// A boundary does not join the one before it.
    #[error("the boundary of a batch does not join the one before it")]
    Boundary,
}

impl Flaw {
    /// Whether half-written bytes look like this.
    pub(crate) fn is_of_a_crash(self) -> bool {
        matches!(self, Self::Short | Self::RecordHeader | Self::Payload)
    }
}

/// What a segment's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Where records of this segment belong.
    pub(crate) place: Place,
    /// The sequence of its first record, present or to come.
    pub(crate) first_sequence: u64,
    /// Payload bytes of all the journal's records before this segment.
    pub(crate) bytes_before: u64,
}

/// The segment that a record was written for; part of its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The journal.
    pub(crate) journal: Uuid,
    /// The number of the segment, from 1.
    pub(crate) segment: u64,
}

impl SegmentHeader {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(self.place.journal.as_bytes());
        bytes[32..40].copy_from_slice(&self.place.segment.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.bytes_before.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`SegmentHeader::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are something else, damaged, or of another version.
    pub(crate) fn decode(bytes: &[u8; 64]) -> Result<Self, Flaw> {
        if bytes[..8] != SEGMENT_MAGIC {
            return Err(Flaw::SegmentHeader);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(Flaw::Version(version));
        }
        if crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(Flaw::SegmentHeader);
        }
        let mut journal = [0; 16];
        journal.copy_from_slice(&bytes[16..32]);
        let place = Place { journal: Uuid::from_bytes(journal), segment: u64_at(bytes, 32) };
        Ok(Self { place, first_sequence: u64_at(bytes, 40), bytes_before: u64_at(bytes, 48) })
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Somebody's bytes.
    Data = 1,
    /// The boundary of a batch: [`Boundary`].
    Boundary = 2,
    /// How far the store has everything: [`Position`].
    Position = 3,
}

/// What a record's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// What the payload is.
    pub(crate) kind: Kind,
    /// Length of the payload, without padding.
    pub(crate) payload_bytes: u32,
    /// CRC-32 of the payload.
    pub(crate) payload_checksum: u32,
    /// Of a data record its own; of others that of the next data record.
    pub(crate) sequence: u64,
    /// When it was appended, in nanoseconds since 1970.
    pub(crate) appended_at_ns: u64,
    /// Where in the file its group begins. Everything before was on disk, by a successful sync,
    /// before the first byte of the group was written.
    pub(crate) group_offset: u64,
}

impl RecordHeader {
    /// The header's bytes, for `offset` in the segment at `place`.
    pub(crate) fn encode(&self, place: Place, offset: u64) -> [u8; 48] {
        let mut bytes = [0; 48];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_checksum.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.appended_at_ns.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.group_offset.to_le_bytes());
        let checksum = header_checksum(&bytes, place, offset);
        bytes[44..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`RecordHeader::encode`] wrote for the same place.
    ///
    /// # Errors
    /// The bytes are not a header that was written for this place.
    pub(crate) fn decode(bytes: &[u8; 48], place: Place, offset: u64) -> Result<Self, Flaw> {
        if bytes[..4] != RECORD_MAGIC || header_checksum(bytes, place, offset) != u32_at(bytes, 44)
        {
            return Err(Flaw::RecordHeader);
        }
        let kind = match bytes[4] {
            1 => Kind::Data,
            2 => Kind::Boundary,
            3 => Kind::Position,
            _ => return Err(Flaw::RecordHeader),
        };
        Ok(Self {
            kind,
            payload_bytes: u32_at(bytes, 8),
            payload_checksum: u32_at(bytes, 12),
            sequence: u64_at(bytes, 16),
            appended_at_ns: u64_at(bytes, 24),
            group_offset: u64_at(bytes, 32),
        })
    }

    /// Bytes of the whole record in the file.
    pub(crate) fn framed_bytes(&self) -> u64 {
        framed_bytes(u64::from(self.payload_bytes))
    }
}

/// Bytes in the file of a record with a payload of `payload_bytes`.
pub(crate) fn framed_bytes(payload_bytes: u64) -> u64 {
    RECORD_HEADER_BYTES + payload_bytes.next_multiple_of(ALIGNMENT)
}

/// The payload of a boundary: these records are one batch, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// Its first record.
    pub(crate) first: u64,
    /// Its last record.
    pub(crate) last: u64,
    /// Payload bytes of all the journal's records through `last`.
    pub(crate) bytes_through: u64,
    /// Checksum of its records' checksums.
    pub(crate) content: u32,
}

impl Boundary {
    /// Bytes of the payload.
    pub(crate) const BYTES: usize = 32;

    /// The payload.
    pub(crate) fn encode(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.first.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.last.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.bytes_through.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.content.to_le_bytes());
        bytes
    }

    /// Reads a payload whose checksum was right.
    ///
    /// # Errors
    /// It has another length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| Flaw::Payload)?;
        Ok(Self {
            first: u64_at(bytes, 0),
            last: u64_at(bytes, 8),
            bytes_through: u64_at(bytes, 16),
            content: u32_at(bytes, 24),
        })
    }
}

/// The payload of a position: the store has everything through here, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The last record of the last such batch; 0 before the first.
    pub(crate) through: u64,
    /// Payload bytes of all the journal's records through there.
    pub(crate) bytes_through: u64,
}

impl Position {
    /// Bytes of the payload.
    pub(crate) const BYTES: usize = 16;

    /// The payload.
    pub(crate) fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.through.to_le_bytes());
        bytes[8..].copy_from_slice(&self.bytes_through.to_le_bytes());
        bytes
    }

    /// Reads a payload whose checksum was right.
    ///
    /// # Errors
    /// It has another length.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let bytes: &[u8; 16] = bytes.try_into().map_err(|_| Flaw::Payload)?;
        Ok(Self { through: u64_at(bytes, 0), bytes_through: u64_at(bytes, 8) })
    }
}

fn header_checksum(header: &[u8; 48], place: Place, offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(place.journal.as_bytes());
    hasher.update(&place.segment.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&header[..44]);
    hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { journal: Uuid::from_u128(7), segment: 3 };

    #[test]
    fn headers_come_back_as_written_and_any_changed_bit_is_seen() {
        let segment = SegmentHeader { place: PLACE, first_sequence: 42, bytes_before: 4711 };
        let record = RecordHeader {
            kind: Kind::Boundary,
            payload_bytes: 32,
            payload_checksum: 0xdead_beef,
            sequence: 9,
            appended_at_ns: 1_700_000_000_000_000_000,
            group_offset: 64,
        };
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
        assert_eq!(RecordHeader::decode(&record.encode(PLACE, 128), PLACE, 128), Ok(record));
        for bit in 0..64 * 8 {
            let mut bytes = segment.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bytes).is_err(), "bit {bit} of the segment's header");
        }
        for bit in 0..48 * 8 {
            let mut bytes = record.encode(PLACE, 128);
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordHeader::decode(&bytes, PLACE, 128).is_err(), "bit {bit} of a record's");
        }
    }

    #[test]
    fn a_record_is_one_only_in_its_own_place() {
        let record = RecordHeader {
            kind: Kind::Data,
            payload_bytes: 1,
            payload_checksum: 1,
            sequence: 1,
            appended_at_ns: 1,
            group_offset: 64,
        };
        let bytes = record.encode(PLACE, 64);
        for (place, offset) in [
            (PLACE, 72),
            (Place { segment: 4, ..PLACE }, 64),
            (Place { journal: Uuid::from_u128(8), ..PLACE }, 64),
        ] {
            assert_eq!(RecordHeader::decode(&bytes, place, offset), Err(Flaw::RecordHeader));
        }
    }

    #[test]
    fn boundaries_and_positions_come_back_as_written() {
        let boundary = Boundary { first: 1, last: 2, bytes_through: 3, content: 4 };
        assert_eq!(Boundary::decode(&boundary.encode()), Ok(boundary));
        let position = Position { through: 5, bytes_through: 6 };
        assert_eq!(Position::decode(&position.encode()), Ok(position));
        assert_eq!(Position::decode(&[0; 15]), Err(Flaw::Payload));
    }
}
