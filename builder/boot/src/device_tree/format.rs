//! Numbers of the flattened form (Devicetree Specification 0.4, sections 5.2 to 5.4). All are
//! big-endian.

/// At the beginning.
pub(super) const MAGIC: u32 = 0xd00d_feed;
/// The version that is written.
pub(super) const VERSION: u32 = 17;
/// The oldest that it is compatible with.
pub(super) const COMPATIBLE_VERSION: u32 = 16;
/// Length of the header: ten fields.
pub(super) const HEADER: usize = 40;
/// Length of an entry of reserved memory.
pub(super) const RESERVATION: usize = 16;

/// A node begins: its name follows.
pub(super) const BEGIN_NODE: u32 = 1;
/// A node ends.
pub(super) const END_NODE: u32 = 2;
/// A property: its length, where its name is, its value.
pub(super) const PROPERTY: u32 = 3;
/// Nothing.
pub(super) const NOTHING: u32 = 4;
/// The structure ends.
pub(super) const END: u32 = 9;

/// Longest that is read; those of Raspberry Pis have 27 to 80 KB.
pub(super) const LONGEST: usize = 2 << 20;
/// The longest name that is read; those of properties are shared, so that without a bound few bytes
/// would stand for very many.
pub(super) const LONGEST_NAME: usize = 255;
/// How deep nodes may lie in each other.
pub(super) const DEEPEST: usize = 64;
