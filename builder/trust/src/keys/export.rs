//! Public halves of a set, in every form that somebody may ask for.

use super::generate::{Draft, write_settings};
use super::{KeySet, Settings, files};
use crate::{Error, Result, Role, Signer, minisign, raspberry_pi, secure_boot};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// What an export has besides public keys and certificates.
#[derive(Debug, Clone, Copy)]
pub struct Export {
    /// When, in seconds since 1970: firmware takes `.auth` files only if they are younger than what
    /// it has.
    pub time: u64,
    /// Whether Secure Boot's files have Microsoft's certificates too.
    pub microsoft: bool,
}

impl KeySet {
    /// Writes the public halves into a new folder, which is a key set by itself: one that can verify
    /// everything and sign nothing. Says whether the `.auth` files are there, for which the private
    /// halves of PK and KEK are needed.
    ///
    /// # Errors
    /// When something is there already, or files cannot be written.
    pub fn export(&self, folder: &Path, export: Export, signer: &dyn Signer) -> Result<bool> {
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::ExportThere {
                folder: folder.to_owned(),
            });
        }
        let draft = Draft::beside(folder)?;
        let settings = Settings {
            roles: Default::default(),
            ..self.settings.clone()
        };
        write_settings(draft.path(), &settings)?;
        for role in self.public.roles() {
            files::write_public(draft.path(), role, self.public.key(role)?)?;
        }
        let retired = draft.path().join(files::RETIRED);
        for key in self.public.retired() {
            let folder = files::retired_folder(&retired, key.role, &key.date, &key.key)?;
            make(&folder)?;
            files::write_public(&folder, key.role, &key.key)?;
        }
        self.write_der(&draft.path().join("der"))?;
        let enrolls = self.write_secure_boot(&draft.path().join("secure-boot"), export, signer)?;
        if let Ok(key) = self.public.ed25519() {
            let path = draft.path().join("minisign.pub");
            files::write(&path, minisign::public_key_file(key).as_bytes(), false)?;
        }
        if let Ok(key) = self.public.rsa(Role::RaspberryPi) {
            let folder = draft.path().join("raspberry-pi");
            make(&folder)?;
            let bytes = raspberry_pi::eeprom_key(key);
            files::write(&folder.join("pubkey.bin"), &bytes, false)?;
        }
        let readme = draft.path().join("README.txt");
        files::write(&readme, self.readme(enrolls).as_bytes(), false)?;
        readable(draft.path())?;
        draft.publish(folder).map_err(|error| match error.kind() {
            ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                Error::ExportThere {
                    folder: folder.to_owned(),
                }
            }
            _ => Error::file("make", folder, error),
        })?;
        Ok(enrolls)
    }

    fn write_der(&self, folder: &Path) -> Result<()> {
        make(folder)?;
        for role in self.public.roles() {
            let key = self.public.key(role)?;
            let path = folder.join(format!("{role}.pub.der"));
            files::write(&path, &key.der()?, false)?;
            if let Some(certificate) = key.certificate() {
                // Firmware's menus look for this ending.
                let path = folder.join(format!("{role}.cer"));
                files::write(&path, certificate.der(), false)?;
            }
        }
        Ok(())
    }

    fn write_secure_boot(
        &self,
        folder: &Path,
        export: Export,
        signer: &dyn Signer,
    ) -> Result<bool> {
        let roles = [Role::Pk, Role::Kek, Role::Db, Role::Verity];
        if !roles
            .iter()
            .all(|role| self.public.certificate(*role).is_ok())
        {
            return Ok(false);
        }
        make(folder)?;
        for variable in secure_boot::Variable::ALL {
            let content = secure_boot::content(&self.public, variable, export.microsoft)?;
            let path = folder.join(format!("{}.esl", variable.name()));
            files::write(&path, &content, false)?;
        }
        if !self.has_private(Role::Pk) || !self.has_private(Role::Kek) {
            return Ok(false);
        }
        let enrolment =
            secure_boot::enrolment(&self.public, signer, export.time, export.microsoft)?;
        for (name, content) in [
            ("PK.auth", &enrolment.pk),
            ("KEK.auth", &enrolment.kek),
            ("db.auth", &enrolment.db),
        ] {
            files::write(&folder.join(name), content, false)?;
        }
        Ok(true)
    }

    fn readme(&self, enrolls: bool) -> String {
        let auth = match enrolls {
            true => {
                "  secure-boot/*.auth        the same, signed: systemd-boot writes them in setup mode,
                            efi-updatevar and firmware's own menus write them too
"
            }
            false => "",
        };
        let minisign = match self.public.ed25519() {
            Ok(key) => minisign::public_key(key),
            Err(_) => "(none)".into(),
        };
        format!(
            "Public keys of {owner}
{line}

This folder holds nothing secret. It is what others need to check images of this owner:

    fortress-build verify --keys THIS-FOLDER IMAGE

  KEY.pub.pem, KEY.crt      public key and certificate, PEM
  der/                      the same, DER (.cer: what firmware's menus look for)
  minisign.pub              checks manifests, SBOMs and checksums with minisign, without this program:
                            minisign -V -p minisign.pub -m NAME.manifest.json
                            As a line: {minisign}
  secure-boot/*.esl         signature lists for PK, KEK and db
{auth}  raspberry-pi/pubkey.bin   the key as the EEPROM of a Raspberry Pi holds it
  retired/                  keys that were used before
  keys.toml                 whose set it is

The keys
--------
  manifest       Ed25519; signs manifests, SBOMs and checksums
  pk, kek, db    Secure Boot: who may change KEK; who may change db; whose boot loaders start
  verity         signs root hashes of dm-verity; is in db too, where the kernel looks for it
  pcr            signs the PCR values at which a TPM releases the key of the state
  raspberry-pi   signs boot.img of Raspberry Pis

A Raspberry Pi that starts only what this owner signed
------------------------------------------------------
The key goes into the board's EEPROM, with Raspberry Pi's own tools (github.com/raspberrypi/usbboot,
folders secure-boot-recovery and secure-boot-recovery5). The settings in the EEPROM have to be signed
by the same key, so this is done where the private half is:

    rpi-eeprom-digest -i boot.conf -o bootconf.sig -k raspberry-pi.key.pem
    rpi-eeprom-config --config boot.conf --digest bootconf.sig \\
        --pubkey raspberry-pi.pub.pem --out pieeprom.bin pieeprom.original.bin

with SIGNED_BOOT=1 in boot.conf. A Raspberry Pi 5 whose key is fused wants its boot loader signed as
well (rpi-sign-bootcode -c 2712 … -k raspberry-pi.key.pem); update-pieeprom.sh does all of it.

With that alone the EEPROM can still be written anew by whoever holds the board. Fusing the key's hash
(program_pubkey=1 in the recovery's config.txt) ends that, and is for good: it cannot be undone, a
fused board never takes another key, and one whose key is lost is lost. fortress-build never does it.
",
            owner = self.owner(),
            line = "=".repeat("Public keys of ".len() + self.owner().chars().count()),
        )
    }
}

/// A folder that others may read, files and all.
fn readable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
        .map_err(|error| Error::file("change", folder, error))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Error::file("make", folder, error))
}
