//! The variables of Secure Boot, as an owner enrols them: PK, KEK and db
//! ([UEFI 2.10](https://uefi.org/specs/UEFI/2.10/), sections 8.2.2 and 32.4.1).
//!
//! Each is a file that systemd-boot writes into its variable, from `loader/keys/NAME/` on the EFI
//! system partition, when the firmware is in setup mode: PK and KEK signed by PK, db signed by KEK.

mod certificates;
mod signature_list;
mod variable;

pub use certificates::{Microsoft, microsoft};
pub use signature_list::{Entry, read_lists};
pub use variable::{Authenticated, read, verify};

use crate::{Certificate, PublicKeys, Result, Role, Signer};
use sha2::{Digest, Sha256};
use signature_list::write_list;
use uuid::{Builder, Uuid};

/// A variable of Secure Boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// The platform key: who may change the KEK.
    Pk,
    /// Key exchange keys: who may change db.
    Kek,
    /// The signature database: whose programs start.
    Db,
}

/// What enrols an owner's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// `PK.auth`.
    pub pk: Vec<u8>,
    /// `KEK.auth`.
    pub kek: Vec<u8>,
    /// `db.auth`.
    pub db: Vec<u8>,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pk, Self::Kek, Self::Db];

    /// Its name, which file names have too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pk => "PK",
            Self::Kek => "KEK",
            Self::Db => "db",
        }
    }

    /// Whose key signs what is written into it.
    pub fn signed_by(self) -> Role {
        match self {
            Self::Pk | Self::Kek => Role::Pk,
            Self::Db => Role::Kek,
        }
    }
}

/// Makes the files that enrol an owner's keys, with Microsoft's beside them if that is wanted: then
/// firmware still starts what Microsoft signed, option ROMs of plug-in cards for example, and every
/// system of others.
///
/// db has the certificate for root hashes as well: the kernel looks for it among the firmware's.
/// `time`, in seconds since 1970, is what firmware compares when a variable is written anew: later
/// ones replace earlier ones.
///
/// # Errors
/// When a certificate is missing, or the signer does not sign.
pub fn enrolment(
    public: &PublicKeys,
    signer: &dyn Signer,
    time: u64,
    microsoft: bool,
) -> Result<Enrolment> {
    let make = |variable: Variable| {
        let content = content(public, variable, microsoft)?;
        variable::sign(public, signer, variable, time, &content)
    };
    Ok(Enrolment {
        pk: make(Variable::Pk)?,
        kek: make(Variable::Kek)?,
        db: make(Variable::Db)?,
    })
}

/// What an owner's variable holds: signature lists of one certificate each.
///
/// # Errors
/// When a certificate is missing.
pub fn content(public: &PublicKeys, variable: Variable, microsoft: bool) -> Result<Vec<u8>> {
    let owner = owner(public)?;
    let (roles, of_microsoft): (&[Role], &[Microsoft]) = match variable {
        Variable::Pk => (&[Role::Pk], &[]),
        Variable::Kek => (&[Role::Kek], &Microsoft::KEK),
        Variable::Db => (&[Role::Db, Role::Verity], &Microsoft::DB),
    };
    let mut content = Vec::new();
    for role in roles {
        write_list(&mut content, owner, public.certificate(*role)?);
    }
    if microsoft {
        for certificate in of_microsoft {
            let certificate = certificates::microsoft(*certificate)?;
            write_list(&mut content, certificates::MICROSOFT, &certificate);
        }
    }
    Ok(content)
}

/// One certificate as a signature list (`.esl`), which firmware's own menus and other tools take.
///
/// # Errors
/// When the set has no platform key, which decides the owner's number.
pub fn list(public: &PublicKeys, certificate: &Certificate) -> Result<Vec<u8>> {
    let mut list = Vec::new();
    write_list(&mut list, owner(public)?, certificate);
    Ok(list)
}

/// The number by which signature lists name an owner: from the platform key's certificate.
fn owner(public: &PublicKeys) -> Result<Uuid> {
    let digest: [u8; 32] = Sha256::digest(public.certificate(Role::Pk)?.der()).into();
    let mut number = [0; 16];
    number.copy_from_slice(&digest[..16]);
    Ok(Builder::from_custom_bytes(number).into_uuid())
}
