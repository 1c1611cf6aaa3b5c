//! `keys`: the owner's keys.

mod rotate;
mod show;

use super::print_json;
use crate::failure::Said;
use crate::options::Global;
use crate::{context, passphrase};
use anyhow::{Context, Result};
use clap::Subcommand;
use fortress_progress::Observer;
use fortress_trust::{
    Algorithm, Certificate, Export, Holder, KeySet, NewKeys, PublicKey, Requests, Role, Signatures,
    Signer,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make, show, export and replace the keys that your images are signed with
///
/// A key set is a folder: ~/.local/share/fortress/keys, or what --keys names. The first build makes
/// one if there is none. Keep a copy of it in a safe place: who has it can sign for you, and what
/// is lost with it docs/keys.md tells.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key set
    New {
        /// Your name, as certificates have it [default: your user name]
        #[arg(long)]
        owner: Option<String>,
        /// Encrypt the private halves by a passphrase, which is asked for twice; --passphrase-fd
        /// takes it from elsewhere
        #[arg(long)]
        passphrase: bool,
    },
    /// Tell which keys there are, and who holds their private halves
    Show,
    /// Write the public halves into a new folder, in every form: for others who verify or rebuild
    /// your images, for firmware, for Raspberry Pis
    Export {
        /// The folder, which must not exist yet
        folder: PathBuf,
        /// Put Microsoft's certificates into the files for Secure Boot too, so that option ROMs
        /// and other systems start besides yours
        #[arg(long)]
        microsoft: bool,
    },
    /// Replace keys by new ones, and tell what follows for machines that have the old ones
    Rotate {
        /// Which: manifest, pk, kek, db, verity, pcr, raspberry-pi
        #[arg(required = true, value_name = "KEY")]
        roles: Vec<Role>,
    },
    /// Let a command sign, which has the private half in a token, a card or a key service
    ///
    /// The command gets what is to be signed on standard input: for RSA the 32 bytes of a SHA-256
    /// digest, for the key 'manifest' (Ed25519) the message. It writes the bare signature to standard
    /// output: RSA PKCS#1 v1.5 256 bytes, Ed25519 64. docs/keys.md has an example.
    UseCommand {
        /// Which: manifest, pk, kek, db, verity, pcr, raspberry-pi
        #[arg(value_name = "KEY")]
        role: Role,
        /// The public half, PEM; if the key has a certificate, the command signs one
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "certificate",
            conflicts_with = "certificate"
        )]
        public: Option<PathBuf>,
        /// The certificate, PEM, with the public half in it
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        /// The program and its arguments
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Sign what a build with --sign later asks for, on a machine that has nothing but the keys; the
    /// signatures go to standard output
    Sign {
        /// NAME.requests.json
        requests: PathBuf,
    },
}

pub(crate) fn run(options: &Options, global: &Global) -> Result<ExitCode> {
    match &options.command {
        Action::New { owner, passphrase } => new(owner.as_deref(), *passphrase, global)?,
        Action::Show => show::run(&context::keys(global)?, global)?,
        Action::Export { folder, microsoft } => export(folder, *microsoft, global)?,
        Action::Rotate { roles } => rotate::run(roles, global)?,
        Action::UseCommand {
            role,
            public,
            certificate,
            command,
        } => use_command(
            *role,
            public.as_deref(),
            certificate.as_deref(),
            command,
            global,
        )?,
        Action::Sign { requests } => sign(requests, global)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn new(owner: Option<&str>, encrypted: bool, global: &Global) -> Result<()> {
    let folder = context::keys_folder(global)?;
    if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        // Before anybody thinks of a passphrase.
        return Err(fortress_trust::Error::AlreadyThere { folder }.into());
    }
    let passphrase = match encrypted || global.passphrase_fd.is_some() {
        true => Some(passphrase::new(global)?),
        false => None,
    };
    let owner = owner.map_or_else(context::owner_by_default, str::to_owned);
    let keys = KeySet::generate(&folder, &NewKeys { owner, passphrase })?;
    show::run(&keys, global)?;
    if !global.json && !global.quiet {
        println!(
            "Keep a copy of the folder in a safe place; docs/keys.md tells what a loss means."
        );
    }
    Ok(())
}

fn export(folder: &Path, microsoft: bool, global: &Global) -> Result<()> {
    let keys = context::keys(global)?;
    let terminal = context::terminal(global)?;
    let signer = keys.signer(&|| passphrase::of_keys(global), &terminal)?;
    let time = context::now()?;
    let enrolls = keys.export(folder, Export { time, microsoft }, &signer)?;
    if !enrolls {
        terminal.note(
            "without .auth files for Secure Boot: they are signed by pk and kek, whose private halves \
             are not here",
        );
    }
    match global.json {
        true => print_json(&serde_json::json!({ "folder": folder, "auth": enrolls }))?,
        false => println!("{}: README.txt in it tells what is what", folder.display()),
    }
    Ok(())
}

fn use_command(
    role: Role,
    public: Option<&Path>,
    certificate: Option<&Path>,
    command: &[String],
    global: &Global,
) -> Result<()> {
    let keys = context::keys(global)?;
    let terminal = context::terminal(global)?;
    let read = |path: &Path| fs::read_to_string(path).with_context(|| cannot_read(path));
    let wrong = |path: &Path, reason: String| Said {
        code: 1,
        message: format!("{}: {reason}", path.display()),
        hint: None,
    };
    let (key, certificate) = match (public, certificate) {
        (_, Some(path)) if !role.has_certificate() => {
            let reason =
                format!("the key {role} has no certificate; --public takes its public half");
            return Err(wrong(path, reason).into());
        }
        (_, Some(path)) => {
            let certificate =
                Certificate::from_pem(&read(path)?).with_context(|| cannot_read(path))?;
            let key = certificate
                .public_key()
                .map_err(|reason| wrong(path, reason))?;
            (key, Some(certificate))
        }
        (Some(path), None) => {
            let key = PublicKey::from_pem(&read(path)?, role.algorithm())
                .map_err(|reason| wrong(path, reason))?;
            (key, None)
        }
        (None, None) => anyhow::bail!("neither --public nor --certificate is given"),
    };
    let mut command = command.to_vec();
    if let Some(program) = command.first_mut()
        && program.contains('/')
    {
        // It is to work from any folder.
        *program = std::path::absolute(&*program)
            .context("cannot tell the current folder")?
            .to_str()
            .context("the command's path is not UTF-8")?
            .to_owned();
    }
    let keys = keys.use_command(
        role,
        &command,
        &key,
        certificate,
        context::now()?,
        &terminal,
    )?;
    show::run(&keys, global)
}

fn sign(path: &Path, global: &Global) -> Result<()> {
    let keys = context::keys(global)?;
    let terminal = context::terminal(global)?;
    let json = fs::read(path).with_context(|| cannot_read(path))?;
    let requests = Requests::from_json(&json).with_context(|| cannot_read(path))?;
    for (request, key) in requests.iter() {
        let own = keys.public().key(request.role)?.fingerprint()?;
        if own != key {
            return Err(Said {
                code: 1,
                message: format!(
                    "cannot sign {}: it is to be signed by another key for {} than that in {}\n  \
                     asked for: {key}\n  here:      {own}",
                    request.what,
                    request.role,
                    keys.folder().display()
                ),
                hint: Some("--keys names the folder of another key set".into()),
            }
            .into());
        }
    }
    let signer = keys.signer(&|| passphrase::of_keys(global), &terminal)?;
    let mut signatures = Signatures::default();
    for (request, _) in requests.iter() {
        if !keys.has_private(request.role) {
            terminal.warn(&format!(
                "{}: not signed, the private half of {} is not here",
                request.what, request.role
            ));
            continue;
        }
        let request = request.borrow();
        signatures.insert(&request, &signer.sign(&request)?);
        terminal.note(&format!("signed {} by {}", request.what, request.role));
    }
    if signatures.is_empty() && !requests.is_empty() {
        anyhow::bail!(
            "nothing signed: {} has none of the private halves that it takes",
            keys.folder().display()
        );
    }
    print!("{}", signatures.to_json());
    Ok(())
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

/// How a key signs, for people.
fn algorithm(role: Role) -> &'static str {
    match role.algorithm() {
        Algorithm::Ed25519 => "Ed25519",
        Algorithm::Rsa2048Sha256 => "RSA-2048",
    }
}

/// Who has a private half, for people.
fn holder(holder: &Holder) -> String {
    match holder {
        Holder::File { encrypted, .. } => match encrypted {
            true => "in a file, encrypted".into(),
            false => "in a file".into(),
        },
        Holder::Command(command) => format!("signs by command: {}", command.join(" ")),
        Holder::Elsewhere => "public half alone".into(),
    }
}
