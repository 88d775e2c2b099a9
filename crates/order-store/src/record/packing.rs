//! Rows packed as they travel: one block of ClickHouse's compression, LZ4 with its checksum.
//!
//! Rows of one request repeat each other's resource and keys, and shrink to a tenth. Packed once,
//! where they were mapped, they take a tenth of the journal's disk, of its syncs and of its memory,
//! and are sent to the store as they stand.
//! Format: <https://clickhouse.com/docs/interfaces/native-protocol/server#data> (compressed blocks).

use std::cell::RefCell;

use bytes::Bytes;
use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::BadRecord;

/// Fewer bytes stay plain: the head of a block would outweigh what it saves.
const PACKED_FROM_BYTES: usize = 512;
/// What shrinks more than so many times stays plain, so that the bound on the bytes of an insert
/// bounds its rows as well.
pub const PACKED_RATIO_MAX: u64 = 32;
/// Plain rows of one insert are packed together, so many bytes at a time.
const GATHERED_BYTES_MAX: usize = 1 << 20;

const CHECKSUM_BYTES: usize = 16;
/// Method and the two sizes.
const HEAD_BYTES: usize = 1 + 4 + 4;
const METHOD_LZ4: u8 = 0x82;

/// Room to pack in that each thread keeps; what needs more gets its own for once.
const SCRATCH_BYTES_MAX: usize = 2 << 20;

thread_local! {
    /// Zeroing and mapping fresh memory for every block would cost a third of packing it.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

struct Scratch {
    block: Vec<u8>,
    table: CompressTable,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { block: Vec::new(), table: CompressTable::large() }
    }
}

/// Rows of one table, and whether they are packed.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) bytes: Bytes,
    pub(crate) is_packed: bool,
}

/// The rows as a block; `None` if they stay plain.
pub(super) fn pack_if_worth(rows: &[u8]) -> Option<Vec<u8>> {
    if rows.len() < PACKED_FROM_BYTES {
        return None;
    }
    let block = pack(rows)?;
    let is_worth = block.len() < rows.len();
    let is_bounded = block.len() as u64 * PACKED_RATIO_MAX >= rows.len() as u64;
    (is_worth && is_bounded).then_some(block)
}

/// One block; `None` beyond 4 GiB.
fn pack(rows: &[u8]) -> Option<Vec<u8>> {
    let room = CHECKSUM_BYTES + HEAD_BYTES + get_maximum_output_size(rows.len());
    if room > SCRATCH_BYTES_MAX {
        return pack_in(&mut Scratch::default(), room, rows);
    }
    SCRATCH.with_borrow_mut(|scratch| pack_in(scratch, room, rows))
}

fn pack_in(scratch: &mut Scratch, room: usize, rows: &[u8]) -> Option<Vec<u8>> {
    let Scratch { block, table } = scratch;
    if block.len() < room {
        block.resize(room, 0);
    }
    let raw = u32::try_from(rows.len()).ok()?;
    let data = &mut block[CHECKSUM_BYTES + HEAD_BYTES..];
    let data = compress_into_with_table(rows, data, table).ok()?;
    let block = &mut block[..CHECKSUM_BYTES + HEAD_BYTES + data];
    let sized = u32::try_from(HEAD_BYTES + data).ok()?;
    block[CHECKSUM_BYTES] = METHOD_LZ4;
    block[CHECKSUM_BYTES + 1..CHECKSUM_BYTES + 5].copy_from_slice(&sized.to_le_bytes());
    block[CHECKSUM_BYTES + 5..CHECKSUM_BYTES + 9].copy_from_slice(&raw.to_le_bytes());
    let checksum = cityhash_rs::cityhash_102_128(&block[CHECKSUM_BYTES..]).rotate_right(64);
    block[..CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Some(block.to_vec())
}

/// The body of an insert: every part as a block, neighbours that are plain as one.
///
/// # Errors
/// [`BadRecord::TooLarge`]: rows that cannot be sent must not pass for sent.
pub(crate) fn blocks(parts: &[Part]) -> impl Iterator<Item = Result<Bytes, BadRecord>> {
    let mut rest = parts;
    std::iter::from_fn(move || {
        let (first, others) = rest.split_first()?;
        if first.is_packed {
            rest = others;
            return Some(Ok(first.bytes.clone()));
        }
        let mut plain = Vec::new();
        while let Some((part, others)) = rest.split_first()
            && !part.is_packed
            && (plain.is_empty() || plain.len() + part.bytes.len() <= GATHERED_BYTES_MAX)
        {
            plain.extend_from_slice(&part.bytes);
            rest = others;
        }
        Some(pack(&plain).map(Bytes::from).ok_or(BadRecord::TooLarge))
    })
}

#[cfg(test)]
impl Part {
    /// The rows of these parts.
    pub(super) fn plain(parts: &[Self]) -> Vec<u8> {
        let plain = |part: &Self| match part.is_packed {
            true => unpack(&part.bytes),
            false => part.bytes.to_vec(),
        };
        parts.iter().flat_map(plain).collect()
    }
}

#[cfg(test)]
fn unpack(block: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap()) as usize;
    let checksum = cityhash_rs::cityhash_102_128(&block[CHECKSUM_BYTES..]).rotate_right(64);
    assert_eq!(block[..CHECKSUM_BYTES], checksum.to_le_bytes());
    assert_eq!(block[CHECKSUM_BYTES], METHOD_LZ4);
    assert_eq!(number(CHECKSUM_BYTES + 1), block.len() - CHECKSUM_BYTES);
    let raw = number(CHECKSUM_BYTES + 5);
    let data = &block[CHECKSUM_BYTES + HEAD_BYTES..];
    lz4_flex::block::decompress(data, raw).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bytes: usize, period: usize) -> Vec<u8> {
        let byte = |at: usize| u8::try_from(at % 256).unwrap();
        (0..bytes).map(|at| byte(at % period * 7 % 251) ^ byte(at / 4_096)).collect()
    }

    #[test]
    fn only_what_is_worth_it_and_bounded_is_packed() {
        for (what, rows, is_packed) in [
            ("little", rows(PACKED_FROM_BYTES - 1, 10), false),
            ("repeats", rows(20_000, 300), true),
            ("one byte for ever", vec![7; 1 << 20], false),
        ] {
            let packed = pack_if_worth(&rows);
            assert_eq!(packed.is_some(), is_packed, "{what}");
            if let Some(block) = packed {
                assert_eq!(unpack(&block), rows, "{what}");
            }
        }
    }

    #[test]
    fn an_insert_holds_every_row_in_its_order_however_it_lies() {
        let plain = |bytes: usize| Part { bytes: rows(bytes, 90).into(), is_packed: false };
        let packed =
            |bytes: usize| Part { bytes: pack(&rows(bytes, 90)).unwrap().into(), is_packed: true };
        for (parts, count) in [
            (vec![], 0),
            (vec![plain(10)], 1),
            (vec![plain(10), plain(20), packed(5_000), plain(30), packed(600), packed(700)], 5),
            (vec![plain(GATHERED_BYTES_MAX), plain(1), plain(2)], 2),
        ] {
            let expected = Part::plain(&parts);
            let sent: Vec<Bytes> = blocks(&parts).collect::<Result<_, _>>().unwrap();
            assert_eq!(sent.len(), count);
            assert_eq!(sent.iter().flat_map(|block| unpack(block)).collect::<Vec<_>>(), expected);
        }
    }
}
