//! `keys rotate`: new keys for old ones.

use super::{print_json, show};
use crate::commands::table::folded;
use crate::options::Global;
use crate::{context, passphrase};
use anyhow::Result;
use fortress_trust::Role;
use serde_json::json;
use std::collections::BTreeSet;

pub(super) fn run(roles: &[Role], global: &Global) -> Result<()> {
    let keys = context::keys(global)?;
    let passphrase = match keys.needs_passphrase() {
        true => Some(passphrase::of_keys(global)?),
        false => None,
    };
    let roles: BTreeSet<Role> = roles.iter().copied().collect();
    let roles: Vec<Role> = roles.into_iter().collect();
    let keys = keys.rotate(&roles, context::now()?, passphrase.as_ref())?;
    if global.json {
        let follows: Vec<_> = roles
            .iter()
            .map(|role| json!({ "role": role, "follows": consequence(*role) }))
            .collect();
        return print_json(&json!({ "rotated": follows, "folder": keys.folder() }));
    }
    show::run(&keys, global)?;
    println!();
    println!("What follows:");
    for role in roles {
        println!("{role}");
        for line in folded(consequence(role), 76) {
            println!("  {line}");
        }
    }
    Ok(())
}

/// What a new key means for what the old one signed.
fn consequence(role: Role) -> &'static str {
    match role {
        Role::Manifest => {
            "Give the new public half (keys export) to whoever verifies your images. What the old key \
             signed is still told to be yours, by a retired key, where your key set is known."
        }
        Role::Pk => {
            "Machines go on as they are. Firmware takes a new PK only by the old one's signature, or \
             in setup mode: to enrol it, delete the keys of Secure Boot in the firmware's menu and \
             start a new image. PCR 7 changes by that: have the recovery key of the state at hand."
        }
        Role::Kek => {
            "Machines go on as they are; what changes their db must be signed by the KEK that they \
             have. To enrol the new one, write secure-boot/KEK.auth of 'keys export' (signed by your \
             PK), or delete the keys in the firmware's menu and start a new image. PCR 7 changes by \
             that: have the recovery key of the state at hand."
        }
        Role::Db => {
            "Machines that have the old certificate in db start nothing that the new key signs. Enrol \
             the new one first: write secure-boot/db.auth of 'keys export' (signed by your KEK), or \
             delete the keys in the firmware's menu and start a new image. PCR 7 changes by that: \
             have the recovery key of the state at hand."
        }
        Role::Verity => {
            "Its certificate is in the db of your machines, where the kernel looks for it: they do not \
             take root hashes that the new key signs before the new certificate is enrolled, as for \
             db."
        }
        Role::Pcr => {
            "TPMs released the key of the state to what the old key signed, and do not to what the new \
             one signs. The next image opens the state by the recovery key alone; then enrol the TPM \
             anew."
        }
        Role::RaspberryPi => {
            "Boards whose EEPROM has the old key start nothing that the new one signs. Write the new \
             key into the EEPROM first. A board on which the old key is fused never takes another \
             one: for it keep signing with the old key, which is in retired/."
        }
    }
}
