//! Checksums of content, as clients send them and ask for them.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crc_fast::{CrcAlgorithm, checksum_combine};
use s3s::{
    S3Result,
    crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256},
    s3_error,
};
use serde::{Deserialize, Serialize};

/// A way to compute a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Kind {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

/// Checksums in base64, by their kinds.
pub(crate) type Sums = BTreeMap<Kind, String>;

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// What is computed where a client names none.
    pub(crate) const DEFAULT: Self = Self::Crc64Nvme;

    /// Its name in requests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries it.
    pub(crate) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// The kind with this name.
    pub(crate) fn of_name(name: &str) -> S3Result<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| s3_error!(InvalidRequest, "unknown checksum algorithm `{name}`"))
    }

    /// The kind that a header carries.
    pub(crate) fn of_header(header: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.header().eq_ignore_ascii_case(header.trim()))
    }

    /// Bytes of a checksum.
    fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// How checksums of parts make one of the whole, where they do.
    fn combining(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub(crate) fn combines(self) -> bool {
        self.combining().is_some()
    }

    /// Verifies that `sum` can be a checksum of this kind.
    pub(crate) fn check(self, sum: &str) -> S3Result<()> {
        match STANDARD.decode(sum) {
            Ok(bytes) if bytes.len() == self.length() => Ok(()),
            _ => Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", self.header())),
        }
    }

    /// The checksum of the whole, from those of the parts and their sizes.
    pub(crate) fn whole(self, parts: &[(&str, u64)]) -> Option<String> {
        let algorithm = self.combining()?;
        let mut whole: Option<u64> = None;
        for (sum, size) in parts {
            let bytes = STANDARD.decode(sum).ok()?;
            let sum = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            whole = Some(whole.map_or(sum, |whole| checksum_combine(algorithm, whole, sum, *size)));
        }
        let bytes = whole?.to_be_bytes();
        Some(STANDARD.encode(&bytes[bytes.len() - self.length()..]))
    }

    /// The checksum of the checksums of the parts.
    pub(crate) fn composite(self, parts: &[(&str, u64)]) -> Option<String> {
        let mut hasher = Hasher::new(self);
        for (sum, _) in parts {
            hasher.update(&STANDARD.decode(sum).ok()?);
        }
        Some(format!("{}-{}", hasher.finish(), parts.len()))
    }
}

/// Computes a checksum.
pub(crate) enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Box<Sha1>),
    Sha256(Box<Sha256>),
}

impl Hasher {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Crc32 => Self::Crc32(Crc32::new()),
            Kind::Crc32c => Self::Crc32c(Crc32c::new()),
            Kind::Crc64Nvme => Self::Crc64Nvme(Crc64Nvme::new()),
            Kind::Sha1 => Self::Sha1(Box::new(Sha1::new())),
            Kind::Sha256 => Self::Sha256(Box::new(Sha256::new())),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(it) => it.update(bytes),
            Self::Crc32c(it) => it.update(bytes),
            Self::Crc64Nvme(it) => it.update(bytes),
            Self::Sha1(it) => it.update(bytes),
            Self::Sha256(it) => it.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> String {
        match self {
            Self::Crc32(it) => STANDARD.encode(it.finalize()),
            Self::Crc32c(it) => STANDARD.encode(it.finalize()),
            Self::Crc64Nvme(it) => STANDARD.encode(it.finalize()),
            Self::Sha1(it) => STANDARD.encode(it.finalize()),
            Self::Sha256(it) => STANDARD.encode(it.finalize()),
        }
    }
}

/// Collects the checksums in the fields of a request.
macro_rules! sums_in {
    ($it:expr) => {{
        use $crate::checksums::Kind;
        let given = [
            (Kind::Crc32, $it.checksum_crc32.clone()),
            (Kind::Crc32c, $it.checksum_crc32c.clone()),
            (Kind::Crc64Nvme, $it.checksum_crc64nvme.clone()),
            (Kind::Sha1, $it.checksum_sha1.clone()),
            (Kind::Sha256, $it.checksum_sha256.clone()),
        ];
        given.into_iter().filter_map(|(kind, sum)| Some((kind, sum?))).collect::<$crate::checksums::Sums>()
    }};
}

/// Sets the fields of an answer for checksums.
macro_rules! put_sums {
    ($it:expr, $sums:expr) => {{
        use $crate::checksums::Kind;
        let sums: &$crate::checksums::Sums = $sums;
        $it.checksum_crc32 = sums.get(&Kind::Crc32).cloned();
        $it.checksum_crc32c = sums.get(&Kind::Crc32c).cloned();
        $it.checksum_crc64nvme = sums.get(&Kind::Crc64Nvme).cloned();
        $it.checksum_sha1 = sums.get(&Kind::Sha1).cloned();
        $it.checksum_sha256 = sums.get(&Kind::Sha256).cloned();
    }};
}

pub(crate) use {put_sums, sums_in};

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(kind: Kind, bytes: &[u8]) -> String {
        let mut hasher = Hasher::new(kind);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn checksums_of_parts_make_that_of_the_whole() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.combines()) {
            let (first, second) = (sum(kind, b"hello "), sum(kind, b"world"));
            let whole = kind.whole(&[(&first, 6), (&second, 5)]).unwrap();
            assert_eq!(whole, sum(kind, b"hello world"), "{kind:?}");
        }
        assert_eq!(Kind::Sha1.whole(&[("", 0)]), None);
    }

    #[test]
    fn a_composite_names_the_number_of_its_parts() {
        let one = sum(Kind::Sha256, b"hello");
        let composite = Kind::Sha256.composite(&[(&one, 5)]).unwrap();
        let expected = sum(Kind::Sha256, &STANDARD.decode(&one).unwrap());
        assert_eq!(composite, format!("{expected}-1"));
    }

    #[test]
    fn a_checksum_of_another_length_is_refused() {
        assert!(Kind::Crc32.check(&sum(Kind::Crc32, b"a")).is_ok());
        for bad in [sum(Kind::Sha1, b"a"), "not base64".to_owned(), String::new()] {
            assert!(Kind::Crc32.check(&bad).is_err(), "{bad}");
        }
    }
}
