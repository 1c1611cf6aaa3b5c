//! `keys show`: which keys there are.

use super::{algorithm, holder, print_json};
use crate::options::Global;
use anyhow::Result;
use fortress_trust::{Holder, KeySet, minisign};
use serde_json::{Value, json};

pub(super) fn run(keys: &KeySet, global: &Global) -> Result<()> {
    match global.json {
        true => print_json(&as_json(keys)?),
        false => print(keys),
    }
}

fn print(keys: &KeySet) -> Result<()> {
    println!("owner         {}", keys.owner());
    println!("folder        {}", keys.folder().display());
    let public = keys.public();
    if let Ok(key) = public.ed25519() {
        println!("minisign      {}", minisign::public_key(key));
    }
    println!();
    for role in public.roles() {
        let key = public.key(role)?;
        println!(
            "{:13} {}, {}",
            role.name(),
            algorithm(role),
            holder(keys.holder(role))
        );
        println!("  key         {}", key.fingerprint()?);
        if let Some(certificate) = key.certificate() {
            println!("  certificate {}", certificate.fingerprint());
        }
    }
    for retired in public.retired() {
        println!(
            "{:13} {}, replaced on {}",
            retired.role.name(),
            algorithm(retired.role),
            retired.date
        );
        println!("  key         {}", retired.key.fingerprint()?);
    }
    Ok(())
}

fn as_json(keys: &KeySet) -> Result<Value> {
    let public = keys.public();
    let mut roles = serde_json::Map::new();
    for role in public.roles() {
        let key = public.key(role)?;
        let held = match keys.holder(role) {
            Holder::File { path, encrypted } => json!({ "file": path, "encrypted": encrypted }),
            Holder::Command(command) => json!({ "command": command }),
            Holder::Elsewhere => Value::Null,
        };
        let entry = json!({
            "algorithm": role.algorithm(),
            "key": key.fingerprint()?,
            "certificate": key.certificate().map(|certificate| certificate.fingerprint()),
            "private": held,
        });
        roles.insert(role.name().to_owned(), entry);
    }
    let mut retired = Vec::new();
    for key in public.retired() {
        retired.push(json!({
            "role": key.role,
            "date": key.date,
            "key": key.key.fingerprint()?,
        }));
    }
    Ok(json!({
        "owner": keys.owner(),
        "folder": keys.folder(),
        "minisign": public.ed25519().ok().map(minisign::public_key),
        "keys": roles,
        "retired": retired,
    }))
}
