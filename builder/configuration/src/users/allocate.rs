//! Which ID an account gets that does not name one: the fixed table's, else one that follows
//! from its name, so that it depends neither on the order nor (but for the rare clash) on the
//! set of packages.

use super::accounts::Accounts;
use crate::{Error, Identifiers, Result};
use std::collections::BTreeSet;

/// IDs that follow from names, where no `r` line says otherwise: within Debian's range of
/// system accounts, clear of what adduser (from 100) and sysusers (down from 999) begin with.
const DERIVED: (u32, u32) = (300, 899);

/// Gives IDs.
#[derive(Debug)]
pub(super) struct Allocator<'a> {
    fixed: &'a Identifiers,
    reserved: BTreeSet<u32>,
    pool: Vec<u32>,
}

impl<'a> Allocator<'a> {
    /// An allocator over the table and the ranges of `r` lines.
    pub(super) fn new(fixed: &'a Identifiers, ranges: &[(u32, u32)]) -> Self {
        let ranges = if ranges.is_empty() {
            &[DERIVED][..]
        } else {
            ranges
        };
        let pool: BTreeSet<u32> = ranges
            .iter()
            .flat_map(|(first, last)| *first..=(*last).min(first.saturating_add(0xffff)))
            .filter(|id| *id != 0 && *id != 0xffff && *id != u32::MAX)
            .collect();
        Self {
            fixed,
            reserved: fixed
                .users
                .values()
                .chain(fixed.groups.values())
                .copied()
                .collect(),
            pool: pool.into_iter().collect(),
        }
    }

    /// Whether an ID is in the ranges that accounts are made in.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.pool.binary_search(&id).is_ok()
    }

    /// The table's ID for a user.
    pub(super) fn fixed_user(&self, name: &str) -> Option<u32> {
        self.fixed.users.get(name).copied()
    }

    /// The table's ID for a group; a user's own group has the user's.
    pub(super) fn fixed_group(&self, name: &str) -> Option<u32> {
        let found = self.fixed.groups.get(name);
        found.or_else(|| self.fixed.users.get(name)).copied()
    }

    /// An ID that follows from a name and that neither a user nor a group has.
    pub(super) fn derived(&self, name: &str, accounts: &Accounts) -> Result<u32> {
        let taken: BTreeSet<u32> = accounts
            .users
            .iter()
            .map(|user| user.id)
            .chain(accounts.groups.iter().map(|group| group.id))
            .chain(self.reserved.iter().copied())
            .collect();
        let length = self.pool.len();
        let start = if length == 0 {
            0
        } else {
            hash(name) as usize % length
        };
        let mut ids = (0..length).map(|step| self.pool[(start + step) % length]);
        ids.find(|id| !taken.contains(id))
            .ok_or_else(|| Error::Conflict {
                what: "account",
                name: name.to_owned(),
                wanted: "given an ID".into(),
                reason: format!("all {length} IDs for system accounts are taken"),
            })
    }
}

/// FNV-1a, 32 bits: any hash will do, as long as it stays.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
