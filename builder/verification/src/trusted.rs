//! Whose signatures count: the owner's keys, and those that the owner's manifest names.

use crate::verdict::{Fault, Findings};
use fortress_pipeline::manifest::{KeyFacts, Manifest};
use fortress_trust::{Certificate, PublicKey, PublicKeys, Role, cms};

/// The owner's public keys, as far as they are at hand, and the fingerprints of all of them in the
/// manifest.
pub(crate) struct Trusted<'a> {
    pub(crate) keys: &'a PublicKeys,
    facts: &'a [KeyFacts],
}

impl<'a> Trusted<'a> {
    /// Compares the keys at hand with those that the manifest names.
    pub(crate) fn new(
        keys: &'a PublicKeys,
        manifest: &'a Manifest,
        findings: &mut Findings,
    ) -> Self {
        let part = crate::signature::MANIFEST;
        for facts in &manifest.keys {
            let is_named = |key: &PublicKey| key.fingerprint().is_ok_and(|own| own == facts.sha256);
            if keys.key(facts.role).map_or(true, is_named) {
                continue;
            }
            let mut retired = keys.retired().iter();
            let reason = match retired.find(|old| old.role == facts.role && is_named(&old.key)) {
                Some(old) => format!(
                    "its key for {} is one of yours that was replaced on {}: build the image again \
                     to have it signed by the new one",
                    facts.role, old.date
                ),
                None => format!(
                    "it names another key than yours for {}: the image was made with other keys",
                    facts.role
                ),
            };
            findings.wrong(Fault::NotSigned, part, reason);
        }
        Self {
            keys,
            facts: &manifest.keys,
        }
    }

    fn facts(&self, role: Role) -> Option<&KeyFacts> {
        self.facts.iter().find(|facts| facts.role == role)
    }

    /// The certificate of a role: the one at hand, or, if there is none, the one in a signature whose
    /// fingerprint the manifest names.
    pub(crate) fn certificate(&self, role: Role, message: &[u8]) -> Option<Certificate> {
        if let Ok(own) = self.keys.certificate(role) {
            return Some(own.clone());
        }
        let wanted = self.facts(role)?.certificate_sha256.as_deref()?;
        let mut carried = cms::certificates(message).into_iter();
        carried.find(|certificate| certificate.fingerprint() == wanted)
    }

    /// A key without a certificate: the one at hand, or the given one if the manifest names it.
    pub(crate) fn key(&self, role: Role, given: Option<PublicKey>) -> Option<PublicKey> {
        if let Ok(own) = self.keys.key(role) {
            return Some(own.clone());
        }
        let wanted = self.facts(role)?.sha256.as_str();
        given.filter(|key| key.fingerprint().is_ok_and(|found| found == wanted))
    }
}

/// Whether a command line says this root hash, and no other.
pub(crate) fn names_root_hash(command_line: &str, root_hash: &str) -> bool {
    let mut named = command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("roothash="));
    named.next() == Some(root_hash) && named.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_names_one_root_hash() {
        assert!(names_root_hash("quiet roothash=ab ro", "ab"));
        assert!(!names_root_hash("quiet roothash=cd", "ab"));
        assert!(!names_root_hash("roothash=ab roothash=cd", "ab"));
        assert!(!names_root_hash("xroothash=ab", "ab"));
        assert!(!names_root_hash("", ""));
    }
}
