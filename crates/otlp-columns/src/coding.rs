//! Compression of bodies, undone with a bound on the output.

use std::io::Read;

use bytes::Bytes;

/// A coding that the collector reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip (RFC 1952), also of several members.
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// The codings by the names that `Content-Encoding` and `grpc-encoding` use.
pub const SUPPORTED: &str = "identity, gzip, zstd";

/// Largest window that a zstd frame may ask for, as a power of two: 8 MiB, the least that the
/// specification wants decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// A body could not be uncompressed.
#[derive(Debug, thiserror::Error)]
pub enum CodingError {
    /// More bytes came out than are allowed.
    #[error("the body is larger than {bytes_max} bytes when uncompressed")]
    TooLarge {
        /// The bound.
        bytes_max: usize,
    },
    /// The bytes are not of this coding, or end too early.
    #[error("the body is not valid {coding}")]
    Invalid {
        /// Name of the coding.
        coding: &'static str,
        /// What the decompressor says.
        source: std::io::Error,
    },
}

impl Coding {
    /// Reads the value of `Content-Encoding` or `grpc-encoding`; `None` for one we do not read.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Undoes the coding; reading stops as soon as more than `bytes_max` bytes came out.
    ///
    /// # Errors
    /// [`CodingError`].
    pub fn decode(self, body: Bytes, bytes_max: usize) -> Result<Bytes, CodingError> {
        match self {
            Self::Identity if body.len() > bytes_max => Err(CodingError::TooLarge { bytes_max }),
            Self::Identity => Ok(body),
            Self::Gzip => {
                read_bounded("gzip", flate2::read::MultiGzDecoder::new(&*body), bytes_max)
            }
            Self::Zstd => {
                let invalid = |source| CodingError::Invalid { coding: "zstd", source };
                let mut decoder = zstd::stream::read::Decoder::new(&*body).map_err(invalid)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(invalid)?;
                read_bounded("zstd", decoder, bytes_max)
            }
        }
    }
}

fn read_bounded(
    coding: &'static str,
    reader: impl Read,
    bytes_max: usize,
) -> Result<Bytes, CodingError> {
    let mut out = Vec::new();
    // One byte more than allowed tells a full body from a bomb.
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(bound)
        .read_to_end(&mut out)
        .map_err(|source| CodingError::Invalid { coding, source })?;
    if out.len() > bytes_max {
        return Err(CodingError::TooLarge { bytes_max });
    }
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        Bytes::from(encoder.finish().unwrap())
    }

    #[test]
    fn bodies_come_back_and_bombs_stop_at_the_bound() {
        let zeros = vec![0_u8; 1_000_000];
        let zstd = Bytes::from(zstd::encode_all(&*zeros, 3).unwrap());
        for (coding, body) in [
            (Coding::Identity, Bytes::from(zeros.clone())),
            (Coding::Gzip, gzip(&zeros)),
            (Coding::Zstd, zstd),
        ] {
            assert_eq!(coding.decode(body.clone(), 1_000_000).unwrap(), zeros, "{coding:?}");
            let refused = coding.decode(body, 999_999).unwrap_err();
            assert!(matches!(refused, CodingError::TooLarge { .. }), "{coding:?}: {refused}");
        }
    }

    #[test]
    fn torn_and_foreign_bodies_are_invalid() {
        let whole = gzip(b"some body that is long enough to be torn");
        let torn = whole.slice(..whole.len() - 9);
        for (coding, body) in [
            (Coding::Gzip, torn),
            (Coding::Gzip, Bytes::from_static(b"no gzip")),
            (Coding::Zstd, Bytes::from_static(b"no zstd")),
        ] {
            let refused = coding.decode(body, 1_000).unwrap_err();
            assert!(matches!(refused, CodingError::Invalid { .. }), "{coding:?}: {refused}");
        }
    }

    #[test]
    fn names_of_codings_are_read_as_headers_write_them() {
        for (name, expected) in [
            ("gzip", Some(Coding::Gzip)),
            (" GZIP ", Some(Coding::Gzip)),
            ("zstd", Some(Coding::Zstd)),
            ("identity", Some(Coding::Identity)),
            ("br", None),
            ("gzip, gzip", None),
        ] {
            assert_eq!(Coding::parse(name), expected, "{name}");
        }
    }
}
