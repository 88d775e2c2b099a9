//! Which segments there should be, so that a file that somebody removed is missed: the oldest one
//! leaves no trace when it goes, and the newest none where it stood.
//!
//! A file of two slots that are written in turns and in place, so that it takes no space on a disk
//! that is full, and a torn slot leaves the other. It may lag behind a crash, to the safe side: the
//! newest is written down after it is there, the oldest before the one before it goes. A journal
//! without the file is not checked.

use std::io::{self, IoSlice};

use uuid::Uuid;

use crate::disk::{Disk, File};
use crate::segments::NEW_SUFFIX;

/// The file's name.
const NAME: &str = "extent";
const MAGIC: [u8; 8] = *b"waybilE\n";
/// Bytes of one slot.
const SLOT_BYTES: usize = 64;
/// Bytes of the file.
pub(crate) const EXTENT_BYTES: u64 = 2 * SLOT_BYTES as u64;

/// The segments that are there at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The number of the oldest.
    pub(crate) oldest: u64,
    /// The number of the newest.
    pub(crate) newest: u64,
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    journal: Uuid,
    generation: u64,
    extent: Extent,
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(self.journal.as_bytes());
        bytes[24..32].copy_from_slice(&self.generation.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.extent.oldest.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.extent.newest.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (content, checksum) = bytes.get(..SLOT_BYTES)?.split_at(60);
        if content[..8] != MAGIC || crc32fast::hash(content).to_le_bytes() != checksum {
            return None;
        }
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&content[at..at + 8]);
            u64::from_le_bytes(eight)
        };
        let mut journal = [0; 16];
        journal.copy_from_slice(&content[8..24]);
        Some(Self {
            journal: Uuid::from_bytes(journal),
            generation: number(24),
            extent: Extent { oldest: number(32), newest: number(40) },
        })
    }
}

/// The file, open to be written.
pub(crate) struct ExtentFile {
    file: Box<dyn File>,
    slot: Slot,
}

impl ExtentFile {
    /// Makes the file anew, durably.
    pub(crate) fn create(disk: &dyn Disk, journal: Uuid, extent: Extent) -> io::Result<Self> {
        let new = format!("{NAME}{NEW_SUFFIX}");
        let file = disk.create(&new)?;
        let slot = Slot { journal, generation: 0, extent };
        let mut bytes = [0; 2 * SLOT_BYTES];
        bytes[..SLOT_BYTES].copy_from_slice(&slot.encode());
        file.write_all_at(&mut [IoSlice::new(&bytes)], 0)?;
        file.sync_all()?;
        disk.rename(&new, NAME)?;
        disk.sync_folder()?;
        Ok(Self { file, slot })
    }

    /// Writes down what is there at least, durably.
    pub(crate) fn set(&mut self, extent: Extent) -> io::Result<()> {
        let slot = Slot { generation: self.slot.generation + 1, extent, ..self.slot };
        let at = (slot.generation % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&mut [IoSlice::new(&slot.encode())], at)?;
        self.file.sync_all()?;
        self.slot = slot;
        Ok(())
    }
}

/// Removes the file, durably: then nothing is missed.
pub(crate) fn forget(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(NAME) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_folder(),
    }
}

/// What is written down, of whichever journal; `None` without a file, or when it says nothing.
pub(crate) fn read(disk: &dyn Disk) -> io::Result<Option<(Uuid, Extent)>> {
    let file = match disk.open_to_read(NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = [0; 2 * SLOT_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    let slots = bytes[..read].chunks(SLOT_BYTES).filter_map(Slot::decode);
    let latest = slots.max_by_key(|slot| slot.generation);
    Ok(latest.map(|slot| (slot.journal, slot.extent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::simulated::Simulated;

    const JOURNAL: Uuid = Uuid::from_u128(7);

    #[test]
    fn the_latest_whole_slot_counts() {
        let disk = Simulated::new(1);
        assert_eq!(read(&disk).unwrap(), None);
        let at = |newest| Extent { oldest: 1, newest };
        let mut file = ExtentFile::create(&disk, JOURNAL, at(1)).unwrap();
        for newest in 2..6 {
            file.set(at(newest)).unwrap();
            assert_eq!(read(&disk).unwrap(), Some((JOURNAL, at(newest))));
            // Any byte of the last slot torn: what was before counts.
            let torn = disk.copy();
            let mut bytes = torn.content(NAME);
            bytes[(usize::try_from(newest).unwrap() - 1) % 2 * SLOT_BYTES + 33] ^= 1;
            torn.set_content(NAME, &bytes);
            assert_eq!(read(&torn).unwrap(), Some((JOURNAL, at(newest - 1))));
        }
        // In place: a full disk takes it.
        disk.set_space(Some(0));
        file.set(at(9)).unwrap();
        assert_eq!(read(&disk.copy()).unwrap(), Some((JOURNAL, at(9))));
        forget(&disk).unwrap();
        forget(&disk).unwrap();
        assert_eq!(read(&disk).unwrap(), None);
    }
}
