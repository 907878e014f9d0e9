//! A page as it is stored: its head, its content, and the fingerprint that binds both to its entries and to the page before.

use crate::account::Entry;
use crate::digest::{Digest, Inputs};
use crate::error::LedgerError;
use crate::page::{Content, Page, PageKind};

/// The least that compresses well: lines repeat most of their words.
const COMPRESSION: i32 = 1;

/// The head of a stored page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// From 1, in the order of booking.
    pub(crate) position: i64,
    pub(crate) issuer: String,
    pub(crate) kind: &'static str,
    pub(crate) fiscal_year: i16,
    /// The place in the year's numbers; none on a closing page.
    pub(crate) sequence: Option<i64>,
    pub(crate) number: Option<String>,
    pub(crate) agency: String,
    pub(crate) period: String,
    /// What tells several pages of a kind apart: the reference of a credit note.
    pub(crate) about: String,
    pub(crate) currency: String,
    pub(crate) places: u32,
    /// What the agency owes, in units of the last decimal place.
    pub(crate) total: i64,
    pub(crate) entry_count: i64,
    pub(crate) issued_at: String,
    /// JSON of [`Inputs`].
    pub(crate) inputs: Option<String>,
    /// Of the page before; zeros on the first.
    pub(crate) previous: Digest,
    pub(crate) digest: Digest,
}

/// A page, ready to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) head: Head,
    /// Compressed JSON.
    pub(crate) content: Vec<u8>,
    pub(crate) entries: &'a [Entry],
}

impl Head {
    /// Binds this page to its content, its entries and all pages before it.
    pub(crate) fn seal(&self, content: Digest, entries: Digest) -> Digest {
        let sequence = self.sequence.unwrap_or_default().to_string();
        let numbers = [
            self.position.to_string(),
            self.fiscal_year.to_string(),
            self.places.to_string(),
            self.total.to_string(),
            self.entry_count.to_string(),
        ];
        let words = [
            &self.issuer,
            self.kind,
            &sequence,
            self.number.as_deref().unwrap_or_default(),
            &self.agency,
            &self.period,
            &self.about,
            &self.currency,
            &self.issued_at,
            self.inputs.as_deref().unwrap_or_default(),
        ];
        let parts = numbers.iter().map(String::as_bytes);
        let parts = parts.chain(words.into_iter().map(str::as_bytes));
        Digest::of_parts(parts.chain([&self.previous.0[..], &content.0[..], &entries.0[..]]))
    }
}

/// Adds an entry to the bytes that a page's entries are sealed by.
pub(crate) fn seal_entry(bytes: &mut Vec<u8>, account: &str, units: i64, line: u32) {
    bytes.extend_from_slice(account.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&units.to_le_bytes());
    bytes.extend_from_slice(&line.to_le_bytes());
}

/// The bytes that entries are sealed by.
pub(crate) fn seal_entries(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 40);
    for entry in entries {
        seal_entry(&mut bytes, &entry.account.to_string(), entry.units, entry.line);
    }
    bytes
}

/// JSON, compressed.
pub(crate) fn pack(content: &impl serde::Serialize) -> Result<Vec<u8>, LedgerError> {
    let stored = |error: std::io::Error| LedgerError::Stored(error.to_string());
    let mut encoder = zstd::Encoder::new(Vec::new(), COMPRESSION).map_err(stored)?;
    let mut buffer = std::io::BufWriter::with_capacity(1 << 16, &mut encoder);
    serde_json::to_writer(&mut buffer, content)?;
    std::io::Write::flush(&mut buffer).map_err(stored)?;
    drop(buffer);
    encoder.finish().map_err(stored)
}

/// The JSON of what was packed.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<u8>, LedgerError> {
    zstd::decode_all(bytes).map_err(|error| LedgerError::Stored(error.to_string()))
}

/// Whether two packed contents say the same, whichever version of the compressor wrote them.
pub(crate) fn same(one: &[u8], other: &[u8]) -> Result<bool, LedgerError> {
    Ok(one == other || unpack(one)? == unpack(other)?)
}

/// What a page was made from, as its head says.
pub(crate) fn inputs(head: &Head) -> Result<Option<Inputs>, LedgerError> {
    Ok(head.inputs.as_deref().map(serde_json::from_str).transpose()?)
}

/// The page that a stored head and content are.
pub(crate) fn page(head: Head, content: &[u8]) -> Result<Page, LedgerError> {
    let named = |error: LedgerError| match error {
        LedgerError::Stored(error) => {
            LedgerError::Stored(format!("bill {}: {error}", head.number.as_deref().unwrap_or_default()))
        }
        other => other,
    };
    let content: Content = unpack(content)
        .and_then(|json| Ok(serde_json::from_slice(&json)?))
        .map_err(named)?;
    let inputs = inputs(&head)?;
    let mut page = Page::new(PageKind::read(head.kind)?, content, head.places)?;
    page.number = head.number;
    page.about = head.about;
    page.inputs = inputs;
    page.digest = Some(head.digest);
    page.issued_at = Some(head.issued_at);
    Ok(page)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

    use super::{pack, same};

    #[test]
    fn what_another_version_of_the_compressor_wrote_says_the_same() {
        let words = vec!["a bill"; 100];
        let one = pack(&words).unwrap();
        let json = serde_json::to_vec(&words).unwrap();
        let other = zstd::encode_all(json.as_slice(), 19).unwrap();
        assert_ne!(one, other);
        assert!(same(&one, &other).unwrap());
        assert!(!same(&one, &pack(&vec!["a bill"; 99]).unwrap()).unwrap());
    }
}
