//! A password, which nothing prints.

use sha2::{Digest, Sha256};
use std::fmt;

/// How many random bytes a password is made of.
const BYTES: usize = 24;

/// A password. It has no `Display` and no `Serialize`, and `Debug` says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// A password that was read.
    pub fn new(word: impl Into<String>) -> Self {
        Self(word.into())
    }

    /// A new one; nothing where the system has no randomness to give.
    pub fn random() -> Option<Self> {
        let mut bytes = [0_u8; BYTES];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.secure_random.fill(&mut bytes).ok()?;
        Some(Self(hex(&bytes)))
    }

    /// What the server keeps of it: a SCRAM verifier, so that the password itself is in no statement and no log of the server.
    pub(crate) fn verifier(&self) -> String {
        postgres_protocol::password::scram_sha_256(self.0.as_bytes())
    }

    /// Eight bytes of its hash: enough to see that it changed, and nothing to guess it by, for it is random.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes())[..8])
    }

    /// The word itself, for the one Secret that carries it and for logging in.
    pub(crate) fn word(&self) -> &str {
        &self.0
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_new_each_time_and_is_never_printed() {
        let (one, other) = (Password::random().unwrap(), Password::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.word().len(), 48);
        assert!(!format!("{one:?}{:#?}", Some(&one)).contains(one.word()));
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert!(!one.word().contains(&one.fingerprint()));
        assert!(one.verifier().starts_with("SCRAM-SHA-256$4096:"));
    }
}
