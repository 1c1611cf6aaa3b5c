//! Everything that other builders draw at random: derived from the image's name and version, so
//! that the same image gets the same UUIDs and salts anywhere.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// What distinguishes these digests from any other use of the same names.
const DOMAIN: &str = "fortress image identity 1";

/// What UUIDs, salts and seeds of an image derive from.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    prefix: String,
}

impl Identity {
    pub(crate) fn new(name: &str, version: &str, board: &str) -> Self {
        Self {
            prefix: format!("{DOMAIN}\0{name}\0{version}\0{board}\0"),
        }
    }

    /// 32 bytes for a purpose.
    pub(crate) fn bytes(&self, purpose: &str) -> [u8; 32] {
        Sha256::digest(format!("{}{purpose}", self.prefix)).into()
    }

    /// A UUID of version 8 (RFC 9562, section 5.8) for a purpose.
    pub(crate) fn uuid(&self, purpose: &str) -> Uuid {
        let mut half = [0; 16];
        half.copy_from_slice(&self.bytes(purpose)[..16]);
        Builder::from_custom_bytes(half).into_uuid()
    }

    /// A FAT volume ID for a purpose.
    pub(crate) fn volume_id(&self, purpose: &str) -> u32 {
        let [a, b, c, d, ..] = self.bytes(purpose);
        u32::from_le_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_everything_and_do_not_run_together() {
        let identity = Identity::new("host", "1.0", "x86");
        assert_eq!(identity.uuid("disk"), identity.clone().uuid("disk"));
        assert_eq!(identity.uuid("disk").get_version_num(), 8);
        assert_ne!(identity.uuid("disk"), identity.uuid("esp"));
        let shifted = Identity::new("host1", ".0", "x86");
        assert_ne!(identity.uuid("disk"), shifted.uuid("disk"));
    }
}
