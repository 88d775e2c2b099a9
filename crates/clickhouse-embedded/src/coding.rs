//! Codings of bodies in both directions: what HTTP names, and ClickHouse's own blocks.

pub(crate) mod block;

use std::io::{self, BufReader, Read, Write};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use crate::exception::{Code, Exception};

/// Level of zstd for answers: the fastest that still halves text.
const ZSTD_LEVEL: i32 = 1;

/// How the bytes of a body are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Identity,
    /// `gzip`.
    Gzip,
    /// `deflate`: zlib.
    Deflate,
    /// `zstd`.
    Zstd,
    /// `lz4`: the frame format.
    Lz4,
    /// ClickHouse's blocks (`compress=1`, `decompress=1`); HTTP has no name for them.
    Block,
}

impl Coding {
    /// By its HTTP name.
    fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }

    /// Its HTTP name, for `Content-Encoding`.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Block => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }

    /// The coding of a request, from `Content-Encoding`.
    ///
    /// # Errors
    /// 48 for a coding that is not served.
    pub(crate) fn of_request(content_encoding: Option<&str>) -> Result<Self, Exception> {
        let name = content_encoding.unwrap_or_default();
        Self::named(name).ok_or_else(|| {
            Exception::new(Code::NotImplemented, format!("Unknown compression method: {name}"))
        })
    }

    /// The coding of an answer, from `Accept-Encoding`: the cheapest of those named.
    pub(crate) fn of_answer(accept_encoding: Option<&str>) -> Self {
        let accepted: Vec<Self> = accept_encoding
            .unwrap_or_default()
            .split(',')
            .filter(|part| !refused(part))
            .filter_map(|part| Self::named(part.split(';').next().unwrap_or_default()))
            .collect();
        [Self::Lz4, Self::Zstd, Self::Gzip, Self::Deflate]
            .into_iter()
            .find(|coding| accepted.contains(coding))
            .unwrap_or(Self::Identity)
    }
}

/// Whether a part of `Accept-Encoding` says `q=0`.
fn refused(part: &str) -> bool {
    let weight = part.split(';').find_map(|field| field.trim().strip_prefix("q="));
    weight.and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
}

/// Undoes a coding. A body that ends too early is an error, never a shorter body.
pub(crate) fn decoder(
    coding: Coding,
    body: Box<dyn Read + Send>,
) -> io::Result<Box<dyn Read + Send>> {
    Ok(match coding {
        Coding::Identity => body,
        Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(body))),
        Coding::Deflate => Box::new(flate2::bufread::ZlibDecoder::new(BufReader::new(body))),
        Coding::Zstd => Box::new(zstd::stream::read::Decoder::new(body)?),
        Coding::Lz4 => Box::new(FrameDecoder::new(WholeFrame::new(body))),
        Coding::Block => Box::new(block::BlockReader::new(body)),
    })
}

/// A source of LZ4 frames that does not end before the frame does: `lz4_flex` takes the end of
/// its source for the end of the frame.
struct WholeFrame<R> {
    source: R,
    /// The last bytes read.
    tail: [u8; 8],
    seen: bool,
}

impl<R: Read> WholeFrame<R> {
    fn new(source: R) -> Self {
        Self { source, tail: [1; 8], seen: false }
    }

    /// A frame ends with a mark of four zeros, and perhaps a checksum of four bytes.
    fn is_ended(&self) -> bool {
        !self.seen || self.tail.starts_with(&[0; 4]) || self.tail.ends_with(&[0; 4])
    }
}

impl<R: Read> Read for WholeFrame<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.is_ended() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an LZ4 frame is cut"));
        }
        for byte in buffer.get(..count).unwrap_or_default().iter().rev().take(8).rev() {
            self.tail.rotate_left(1);
            self.tail[7] = *byte;
            self.seen = true;
        }
        Ok(count)
    }
}

/// Does a coding: bytes in, coded bytes taken out as they come.
pub(crate) enum Encoder {
    /// As they are.
    Identity(Vec<u8>),
    /// `gzip`.
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// `deflate`.
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    /// `zstd`.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// `lz4`.
    Lz4(Box<FrameEncoder<Vec<u8>>>),
    /// ClickHouse's blocks.
    Block(block::BlockWriter),
}

impl Encoder {
    /// An encoder at its beginning.
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        let fast = flate2::Compression::fast();
        Ok(match coding {
            Coding::Identity => Self::Identity(Vec::new()),
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), fast)),
            Coding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), fast)),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?),
            Coding::Lz4 => Self::Lz4(Box::new(FrameEncoder::new(Vec::new()))),
            Coding::Block => Self::Block(block::BlockWriter::default()),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Identity(plain) => plain,
            Self::Gzip(gzip) => gzip,
            Self::Deflate(zlib) => zlib,
            Self::Zstd(zstd) => zstd,
            Self::Lz4(lz4) => lz4,
            Self::Block(block) => block,
        }
    }

    /// Takes bytes in and gives what is coded so far.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.writer().write_all(bytes)?;
        Ok(self.take())
    }

    /// Gives all that was taken in, coded.
    pub(crate) fn flush(&mut self) -> io::Result<Vec<u8>> {
        self.writer().flush()?;
        Ok(self.take())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Identity(plain) => plain,
            Self::Gzip(gzip) => gzip.get_mut(),
            Self::Deflate(zlib) => zlib.get_mut(),
            Self::Zstd(zstd) => zstd.get_mut(),
            Self::Lz4(lz4) => lz4.get_mut(),
            Self::Block(block) => &mut block.coded,
        })
    }

    /// Ends the coding and gives the rest.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(plain) => Ok(plain),
            Self::Gzip(gzip) => gzip.finish(),
            Self::Deflate(zlib) => zlib.finish(),
            Self::Zstd(zstd) => zstd.finish(),
            Self::Lz4(lz4) => lz4.finish().map_err(io::Error::from),
            Self::Block(mut block) => {
                block.flush()?;
                Ok(block.coded)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODINGS: [Coding; 6] =
        [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Zstd, Coding::Lz4, Coding::Block];

    fn encode(coding: Coding, parts: &[&[u8]]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).unwrap();
        let mut coded = Vec::new();
        for part in parts {
            coded.extend(encoder.write(part).unwrap());
        }
        coded.extend(encoder.flush().unwrap());
        coded.extend(encoder.finish().unwrap());
        coded
    }

    fn decode(coding: Coding, coded: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        decoder(coding, Box::new(io::Cursor::new(coded.to_vec())))?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn every_coding_goes_there_and_back() {
        let big = vec![b'x'; 3 << 20];
        for coding in CODINGS {
            let coded = encode(coding, &[b"first ", b"second", &big]);
            let plain = decode(coding, &coded).unwrap();
            assert_eq!(plain.len(), 12 + big.len(), "{coding:?}");
            assert!(plain.starts_with(b"first second"), "{coding:?}");
        }
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let noise: Vec<u8> =
            (0..50_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for coding in &CODINGS[1..] {
            let coded = encode(*coding, &[&noise]);
            for cut in [1, coded.len() / 2, coded.len() - 1] {
                assert!(decode(*coding, &coded[..cut]).is_err(), "{coding:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn answers_are_coded_as_the_client_accepts() {
        for (accept, expected) in [
            (None, Coding::Identity),
            (Some("lz4"), Coding::Lz4),
            (Some("gzip, deflate, br"), Coding::Gzip),
            (Some("lz4;q=0, zstd;q=0.5"), Coding::Zstd),
            (Some("br"), Coding::Identity),
        ] {
            assert_eq!(Coding::of_answer(accept), expected, "{accept:?}");
        }
        assert!(Coding::of_request(Some("br")).is_err());
    }
}
