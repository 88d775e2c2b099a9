//! Reading the records of a segment one after the other, and finding out how a segment ends.

use std::io;

use crate::disk::File;
use crate::format::{
    ALIGNMENT, Flaw, Place, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};

/// Bytes read at once when whole headers are looked for behind a damaged place.
const SEARCH_BYTES: usize = 64 * 1024;

/// Is shown a record and its payload.
pub(crate) type Visit<'a> = dyn FnMut(&RecordHeader, &[u8]) -> Result<(), Flaw> + 'a;

/// Where the whole records of a segment end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At the end of the file.
    Whole,
    /// At something that is no record of this place.
    Bad {
        /// Where it stands.
        offset: u64,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

/// Reads the header of the segment numbered `segment`.
pub(crate) fn segment_header(
    file: &dyn File,
    segment: u64,
) -> io::Result<Result<SegmentHeader, Flaw>> {
    let mut bytes = [0; 64];
    if file.read_at(&mut bytes, 0)? < bytes.len() {
        return Ok(Err(Flaw::SegmentHeader));
    }
    Ok(SegmentHeader::decode(&bytes).and_then(|header| {
        if header.place.segment == segment { Ok(header) } else { Err(Flaw::OtherSegment) }
    }))
}

/// Reads the header of the record at `offset`, whose payload must end before `length`.
pub(crate) fn record_header(
    file: &dyn File,
    place: Place,
    offset: u64,
    length: u64,
) -> io::Result<Result<RecordHeader, Flaw>> {
    let mut bytes = [0; 48];
    if length - offset < RECORD_HEADER_BYTES || file.read_at(&mut bytes, offset)? < bytes.len() {
        return Ok(Err(Flaw::Short));
    }
    Ok(RecordHeader::decode(&bytes, place, offset).and_then(|header| {
        if header.framed_bytes() > length - offset { Err(Flaw::Short) } else { Ok(header) }
    }))
}

/// Reads the payload that follows `header` at `offset` into `payload`, in place of what is there.
pub(crate) fn payload(
    file: &dyn File,
    header: &RecordHeader,
    offset: u64,
    payload: &mut Vec<u8>,
) -> io::Result<Result<(), Flaw>> {
    payload.resize(header.payload_bytes as usize, 0);
    if file.read_at(payload, offset + RECORD_HEADER_BYTES)? < payload.len() {
        return Ok(Err(Flaw::Short));
    }
    let whole = crc32fast::hash(payload) == header.payload_checksum;
    Ok(if whole { Ok(()) } else { Err(Flaw::Payload) })
}

/// Shows `visit` every whole record from `from` up to `length`, until one is bad or `visit`
/// finds a flaw in it.
pub(crate) fn records(
    file: &dyn File,
    place: Place,
    from: u64,
    length: u64,
    visit: &mut Visit<'_>,
) -> io::Result<End> {
    let mut offset = from;
    let mut bytes = Vec::new();
    while offset < length {
        let header = match record_header(file, place, offset, length)? {
            Ok(header) => header,
            Err(flaw) => return Ok(End::Bad { offset, flaw }),
        };
        let whole = payload(file, &header, offset, &mut bytes)?;
        if let Err(flaw) = whole.and_then(|()| visit(&header, &bytes)) {
            return Ok(End::Bad { offset, flaw });
        }
        offset += header.framed_bytes();
    }
    Ok(End::Whole)
}

/// The first whole record header after `offset` that `wanted` accepts.
pub(crate) fn header_after(
    file: &dyn File,
    place: Place,
    offset: u64,
    length: u64,
    wanted: &dyn Fn(&RecordHeader) -> bool,
) -> io::Result<Option<(u64, RecordHeader)>> {
    let mut at = (offset + ALIGNMENT).max(SEGMENT_HEADER_BYTES);
    let mut bytes = vec![0; SEARCH_BYTES + 48];
    while at + RECORD_HEADER_BYTES <= length {
        let read = file.read_at(&mut bytes, at)?;
        for start in (0..SEARCH_BYTES).step_by(8) {
            let Some(window) = bytes[..read].get(start..start + 48) else { break };
            let mut header = [0; 48];
            header.copy_from_slice(window);
            let here = at + start as u64;
            match RecordHeader::decode(&header, place, here) {
                Ok(header) if wanted(&header) => return Ok(Some((here, header))),
                _ => {}
            }
        }
        at += SEARCH_BYTES as u64;
    }
    Ok(None)
}

/// Whether what is bad at `offset` was on disk once: a whole record stands behind it whose group
/// was begun only after everything at `offset` had been synced. If not, the bad place is the rest
/// of a group whose sync was never answered, and a crash explains it.
pub(crate) fn was_synced(
    file: &dyn File,
    place: Place,
    offset: u64,
    length: u64,
) -> io::Result<bool> {
    let later = |header: &RecordHeader| header.group_offset > offset;
    Ok(header_after(file, place, offset, length, &later)?.is_some())
}
