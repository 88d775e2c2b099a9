//! ClickHouse's own compressed blocks (`CompressedReadBufferBase.cpp`).
//!
//! A block is 16 bytes of CityHash 1.0.2 over all that follows, one byte of method, the
//! compressed size (with the 9 bytes of this header) and the raw size as little-endian u32, and
//! the data.

use std::io::{self, Read, Write};

use cityhash_rs::cityhash_102_128;

/// The checksum before every block.
const CHECKSUM_BYTES: usize = 16;
/// Method and the two sizes.
const HEADER_BYTES: usize = 9;
/// LZ4 block.
const METHOD_LZ4: u8 = 0x82;
/// No compression.
const METHOD_NONE: u8 = 0x02;
/// ZSTD.
const METHOD_ZSTD: u8 = 0x90;
/// The most bytes a block may hold, raw or compressed. The server allows 1 GiB; its clients
/// write 1 MiB at most by default and the Rust one 256 KiB. A larger block is refused before
/// anything is allocated for it.
const BLOCK_BYTES_MAX: usize = 64 << 20;
/// Raw bytes that are made one block of an answer.
const ANSWER_BLOCK_BYTES: usize = 1 << 20;

fn broken(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// The checksum of `bytes` as it stands before a block.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_102_128(bytes).rotate_right(64).to_le_bytes()
}

/// Reads blocks and gives what they hold.
#[derive(Debug)]
pub(crate) struct BlockReader<R> {
    source: R,
    compressed: Vec<u8>,
    plain: Vec<u8>,
    read: usize,
}

impl<R: Read> BlockReader<R> {
    /// At the beginning of `source`.
    pub(crate) fn new(source: R) -> Self {
        Self { source, compressed: Vec::new(), plain: Vec::new(), read: 0 }
    }

    /// Reads the next block; `false` at the end of the body.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut expected = [0; CHECKSUM_BYTES];
        if !fill(&mut self.source, &mut expected)? {
            return Ok(false);
        }
        let mut header = [0; HEADER_BYTES];
        self.source.read_exact(&mut header)?;
        let [method, c0, c1, c2, c3, r0, r1, r2, r3] = header;
        let compressed_size = size(u32::from_le_bytes([c0, c1, c2, c3]))?;
        let raw_size = size(u32::from_le_bytes([r0, r1, r2, r3]))?;
        if compressed_size < HEADER_BYTES {
            return Err(broken("a compressed block is smaller than its header"));
        }
        self.compressed.clear();
        self.compressed.extend_from_slice(&header);
        let data_size = (compressed_size - HEADER_BYTES) as u64;
        let got = (&mut self.source).take(data_size).read_to_end(&mut self.compressed)?;
        if got as u64 != data_size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if checksum(&self.compressed) != expected {
            return Err(broken("Checksum doesn't match: corrupted data"));
        }
        let data = self.compressed.get(HEADER_BYTES..).unwrap_or_default();
        self.plain = unpack(method, data, raw_size)?;
        self.read = 0;
        Ok(true)
    }
}

fn size(bytes: u32) -> io::Result<usize> {
    let size = usize::try_from(bytes).unwrap_or(usize::MAX);
    if size > BLOCK_BYTES_MAX {
        return Err(broken(format!(
            "a compressed block of {size} bytes, at most {BLOCK_BYTES_MAX}"
        )));
    }
    Ok(size)
}

fn unpack(method: u8, data: &[u8], raw_size: usize) -> io::Result<Vec<u8>> {
    let plain = match method {
        METHOD_LZ4 => {
            lz4_flex::block::decompress(data, raw_size).map_err(|e| broken(e.to_string()))?
        }
        METHOD_ZSTD => zstd::bulk::decompress(data, raw_size)?,
        METHOD_NONE => data.to_vec(),
        other => return Err(broken(format!("Unknown compression method byte {other:#x}"))),
    };
    if plain.len() != raw_size {
        return Err(broken("a compressed block holds another size than it says"));
    }
    Ok(plain)
}

/// Fills `buffer`; `false` when the source is at its end, an error when it ends within.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read >= self.plain.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = self.plain.get(self.read..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.read += count;
        Ok(count)
    }
}

/// Makes blocks of what is written.
#[derive(Debug, Default)]
pub(crate) struct BlockWriter {
    plain: Vec<u8>,
    /// The blocks made so far; whoever sends them takes them out.
    pub(crate) coded: Vec<u8>,
}

impl BlockWriter {
    fn make_block(&mut self, plain: &[u8]) -> io::Result<()> {
        let data = lz4_flex::block::compress(plain);
        let too_big = |_| broken("a block of an answer is too big");
        let compressed_size = u32::try_from(HEADER_BYTES + data.len()).map_err(too_big)?;
        let raw_size = u32::try_from(plain.len()).map_err(too_big)?;
        let mut block = Vec::with_capacity(HEADER_BYTES + data.len());
        block.push(METHOD_LZ4);
        block.extend_from_slice(&compressed_size.to_le_bytes());
        block.extend_from_slice(&raw_size.to_le_bytes());
        block.extend_from_slice(&data);
        self.coded.extend_from_slice(&checksum(&block));
        self.coded.extend_from_slice(&block);
        Ok(())
    }
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plain.extend_from_slice(bytes);
        if self.plain.len() >= ANSWER_BLOCK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let plain = std::mem::take(&mut self.plain);
        plain.chunks(ANSWER_BLOCK_BYTES).try_for_each(|part| self.make_block(part))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn pack(plain: &[u8]) -> Vec<u8> {
        let mut writer = BlockWriter::default();
        writer.write_all(plain).unwrap();
        writer.flush().unwrap();
        writer.coded
    }

    fn unpack_all(coded: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        BlockReader::new(coded).read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn a_huge_size_is_refused_before_it_is_allocated() {
        let mut coded = vec![0; CHECKSUM_BYTES];
        coded.push(METHOD_LZ4);
        coded.extend_from_slice(&u32::MAX.to_le_bytes());
        coded.extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(unpack_all(&coded).unwrap_err().to_string().contains("at most"));
    }

    proptest! {
        #[test]
        fn there_and_back(plain in vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(unpack_all(&pack(&plain)).unwrap(), plain);
        }

        #[test]
        fn any_flipped_bit_is_noticed(
            plain in vec(any::<u8>(), 1..500),
            at in any::<usize>(),
            bit in 0..8_u8,
        ) {
            let mut coded = pack(&plain);
            let at = at % coded.len();
            coded[at] ^= 1_u8 << bit;
            prop_assert!(unpack_all(&coded).is_err());
        }

        #[test]
        fn garbage_never_panics(coded in vec(any::<u8>(), 0..500)) {
            let _ = unpack_all(&coded);
        }

        #[test]
        fn garbage_behind_a_right_checksum_never_panics(
            method in any::<u8>(),
            data in vec(any::<u8>(), 0..300),
            raw in 0_u32..100_000,
        ) {
            let mut block = vec![method];
            let size = u32::try_from(data.len() + HEADER_BYTES).unwrap();
            block.extend_from_slice(&size.to_le_bytes());
            block.extend_from_slice(&raw.to_le_bytes());
            block.extend_from_slice(&data);
            let mut coded = checksum(&block).to_vec();
            coded.extend_from_slice(&block);
            let _ = unpack_all(&coded);
        }
    }
}
