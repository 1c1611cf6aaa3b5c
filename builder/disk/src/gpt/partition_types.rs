//! Partition types of the [Discoverable Partitions
//! Specification](https://uapi-group.org/specifications/specs/discoverable_partitions_specification/):
//! what systemd finds a partition by.

use uuid::{Uuid, uuid};

/// EFI system partition.
pub const ESP: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Extended boot loader partition.
pub const XBOOTLDR: Uuid = uuid!("bc13c2ff-59e6-4262-a352-b275fd6f7172");
/// Swap.
pub const SWAP: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
/// /home.
pub const HOME: Uuid = uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915");
/// /srv.
pub const SRV: Uuid = uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8");
/// /var.
pub const VAR: Uuid = uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d");
/// /var/tmp.
pub const TMP: Uuid = uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1");
/// Any Linux data, found by nobody on its own.
pub const LINUX_GENERIC: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");

/// The types of an architecture's own partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Architecture {
    /// The root file system.
    pub root: Uuid,
    /// Its dm-verity hashes.
    pub root_verity: Uuid,
    /// The signature of its root hash.
    pub root_verity_signature: Uuid,
    /// /usr.
    pub usr: Uuid,
    /// Its dm-verity hashes.
    pub usr_verity: Uuid,
    /// The signature of its root hash.
    pub usr_verity_signature: Uuid,
}

/// x86, 64 bits (Debian's amd64).
pub const X86_64: Architecture = Architecture {
    root: uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"),
    root_verity: uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"),
    root_verity_signature: uuid!("41092b05-9fc8-4523-994f-2def0408b176"),
    usr: uuid!("8484680c-9521-48c6-9c11-b0720656f69e"),
    usr_verity: uuid!("77ff5f63-e7b6-4633-acf4-1565b864c0e6"),
    usr_verity_signature: uuid!("e7bb33fb-06cf-4e81-8273-e543b413e2e2"),
};

/// ARM, 64 bits (Debian's arm64).
pub const ARM64: Architecture = Architecture {
    root: uuid!("b921b045-1df0-41c3-af44-4c6f280d3fae"),
    root_verity: uuid!("df3300ce-d69f-4c92-978c-9bfb0f38d820"),
    root_verity_signature: uuid!("6db69de6-29f4-4758-a7a5-962190f00ce3"),
    usr: uuid!("b0e01050-ee5f-4390-949a-9101b17104e9"),
    usr_verity: uuid!("6e11a4e7-fbca-4ded-b9e9-e1a512bb664e"),
    usr_verity_signature: uuid!("c23ce4ff-44bd-4b00-b2d4-b41b3419e02a"),
};
