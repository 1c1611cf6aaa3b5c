//! The on-disk form of a dm-verity hash area.

use crate::{Error, Region, Result};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Bytes in a block, of data and of hashes.
pub(crate) const BLOCK: u64 = 4096;
/// Bytes in a digest.
pub(crate) const DIGEST: usize = 32;
/// Digests in a hash block.
pub(crate) const PER_BLOCK: u64 = BLOCK / DIGEST as u64;
/// What a superblock begins with.
const SIGNATURE: [u8; 8] = *b"verity\0\0";
/// The name of the hash, padded with NULs.
const ALGORITHM: &[u8] = b"sha256";
/// Most bytes of salt that a superblock has room for.
const LONGEST_SALT: usize = 256;

/// The hash at the top of the tree: whoever knows it can verify every block.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash(pub [u8; DIGEST]);

impl RootHash {
    /// The first half: by the [Discoverable Partitions
    /// Specification](https://uapi-group.org/specifications/specs/discoverable_partitions_specification/),
    /// the GUID of the partition with the data.
    pub fn data_partition(&self) -> Uuid {
        self.half(0)
    }

    /// The second half: the GUID of the partition with the hashes.
    pub fn hash_partition(&self) -> Uuid {
        self.half(DIGEST / 2)
    }

    fn half(&self, start: usize) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.0[start..start + 16]);
        Uuid::from_bytes(bytes)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let refused = || Error::RootHash(text.chars().take(80).collect());
        let digits = text.as_bytes();
        if digits.len() != 2 * DIGEST {
            return Err(refused());
        }
        let digit = |at: usize| char::from(digits[at]).to_digit(16).ok_or_else(refused);
        let mut bytes = [0; DIGEST];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (digit(2 * index)? << 4 | digit(2 * index + 1)?) as u8;
        }
        Ok(Self(bytes))
    }
}

/// The first block of a hash area: how the tree below it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the hash area.
    pub uuid: Uuid,
    /// How many blocks of data it covers.
    pub data_blocks: u64,
    /// What every hashed block is preceded by; 256 bytes at the most.
    pub salt: Vec<u8>,
}

impl Superblock {
    /// The superblock as a whole block.
    pub(crate) fn to_block(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        let salt = &self.salt[..self.salt.len().min(LONGEST_SALT)];
        block[0..8].copy_from_slice(&SIGNATURE);
        block[8..12].copy_from_slice(&1u32.to_le_bytes()); // version
        block[12..16].copy_from_slice(&1u32.to_le_bytes()); // hash type: salt first
        block[16..32].copy_from_slice(self.uuid.as_bytes());
        block[32..32 + ALGORITHM.len()].copy_from_slice(ALGORITHM);
        block[64..68].copy_from_slice(&(BLOCK as u32).to_le_bytes()); // data blocks
        block[68..72].copy_from_slice(&(BLOCK as u32).to_le_bytes()); // hash blocks
        block[72..80].copy_from_slice(&self.data_blocks.to_le_bytes());
        block[80..82].copy_from_slice(&(salt.len() as u16).to_le_bytes());
        block[88..88 + salt.len()].copy_from_slice(salt);
        block
    }

    /// Reads a superblock; `offset`, where it was, is for messages.
    pub(crate) fn parse(block: &[u8], offset: u64) -> Result<Self> {
        let refused = |reason: String| Error::Superblock { offset, reason };
        if block.len() < 512 || block[0..8] != SIGNATURE {
            return Err(refused("is missing: there is no signature".into()));
        }
        let number = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&block[at..at + 4]);
            u32::from_le_bytes(bytes)
        };
        for (name, at, expected) in [
            ("version", 8, 1),
            ("hash type", 12, 1),
            ("data block size", 64, BLOCK as u32),
            ("hash block size", 68, BLOCK as u32),
        ] {
            let got = number(at);
            if got != expected {
                return Err(refused(format!("has {name} {got}, expected {expected}")));
            }
        }
        let mut algorithm = [0; 32];
        algorithm[..ALGORITHM.len()].copy_from_slice(ALGORITHM);
        if block[32..64] != algorithm {
            return Err(refused("is for another hash than sha256".into()));
        }
        let salt_length = usize::from(u16::from_le_bytes([block[80], block[81]]));
        if salt_length > LONGEST_SALT {
            return Err(refused(format!(
                "has {salt_length} bytes of salt, at most {LONGEST_SALT} fit"
            )));
        }
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&block[16..32]);
        Ok(Self {
            uuid: Uuid::from_bytes(uuid),
            data_blocks: u64::from(number(72)) | u64::from(number(76)) << 32,
            salt: block[88..88 + salt_length].to_vec(),
        })
    }
}

/// Where the levels of a tree lie in a file, from the one just above the data to the top one.
/// There are none for a single block of data: its own hash is the root hash. None is returned
/// for a tree that would pass the end of all numbers.
pub(crate) fn levels(data_blocks: u64, hash_offset: u64) -> Option<Vec<Region>> {
    let mut counts = Vec::new();
    let mut blocks = data_blocks;
    while blocks > 1 {
        blocks = blocks.div_ceil(PER_BLOCK);
        counts.push(blocks);
    }
    let mut at = hash_offset.checked_add(BLOCK)?;
    let mut regions = Vec::new();
    for count in counts.iter().rev() {
        let length = count.checked_mul(BLOCK)?;
        regions.push(Region::new(at, length));
        at = at.checked_add(length)?;
    }
    regions.reverse();
    Some(regions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_root_hash_is_its_own_text() {
        let text = "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef";
        let hash: RootHash = text.parse().unwrap();
        assert_eq!(hash.to_string(), text);
        assert_eq!(
            hash.data_partition().to_string(),
            "00112233-4455-6677-8899-aabbccddeeff"
        );
        assert_eq!(
            hash.hash_partition().to_string(),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
        for wrong in [
            "",
            "00",
            &text[1..],
            &text.replace('f', "g"),
            "é".repeat(32).as_str(),
        ] {
            assert!(wrong.parse::<RootHash>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn superblocks_come_back_and_damage_does_not_panic(
            uuid: u128, data_blocks: u64, salt in prop::collection::vec(any::<u8>(), 0..=256),
            at in 0usize..512, value: u8,
        ) {
            let superblock = Superblock { uuid: Uuid::from_u128(uuid), data_blocks, salt };
            let mut block = superblock.to_block();
            prop_assert_eq!(&Superblock::parse(&block, 0).unwrap(), &superblock);
            block[at] = value;
            let _ = Superblock::parse(&block, 0);
            let _ = Superblock::parse(&block[..at], 0);
            let _ = levels(data_blocks, data_blocks);
        }
    }
}
