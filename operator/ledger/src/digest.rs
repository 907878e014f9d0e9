//! Fingerprints: of what a bill was made from, and of the pages, each with the one before it.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// Of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of parts of known number and order, each by its own digest, so that no two lists of parts have the same bytes.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(Sha256::digest(part));
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        let mut text = Self::with_capacity(71);
        let _ = write!(text, "{digest}");
        text
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a digest: allowed is `sha256:` and 64 hexadecimal digits");
        let digits = text
            .strip_prefix("sha256:")
            .filter(|digits| digits.len() == 64)
            .ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = digits.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// What a bill was made from. Whoever has these can work the bill out again and get the same figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inputs {
    /// Of the rate card's spec.
    pub rate_card: Digest,
    /// Of the agencies, systems, subscriptions and cost pools.
    pub manifests: Digest,
    /// Of the usage records.
    pub usage: Digest,
    /// The version of the usage table that was read, where usage came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_table_version: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_and_read_back_and_nothing_else_is_one() {
        let digest = Digest::of(b"");
        let text = digest.to_string();
        assert_eq!(
            text,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Digest::try_from(text.clone()), Ok(digest));
        for wrong in [
            &text[7..],
            &text[..70],
            &text.replace("e3", "g3"),
            &format!("{text}0"),
            "sha256:é",
        ] {
            assert!(Digest::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_same_bytes_in_other_parts_have_another_digest() {
        assert_ne!(
            Digest::of_parts([&b"ab"[..], b"c"]),
            Digest::of_parts([&b"a"[..], b"bc"])
        );
        assert_ne!(Digest::of_parts([&b"a"[..], b""]), Digest::of_parts([&b"a"[..]]));
    }
}
