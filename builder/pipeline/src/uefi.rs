//! Machines with UEFI: what is on the EFI system partition, and its signatures.

use crate::boot::{command_line, write_file};
use crate::digests::hexadecimal;
use crate::identity::Identity;
use crate::manifest::{BootFacts, FileFacts, PcrFacts, ProgramFacts, SectionFacts, UefiFacts};
use crate::seal::{Boot, next_round, time};
use crate::volume::{BootVolume, changed};
use crate::{Error, Result};
use fortress_boot::measure::{self, Measurement};
use fortress_boot::pe::{Image, signature};
use fortress_boot::uki::{self, SBAT, UkiSections};
use fortress_disk::Region;
use fortress_filesystem::cpio;
use fortress_filesystem::fat::{self, FatKind, FatOptions};
use fortress_recipe::{Architecture, PartitionKind, Plan};
use fortress_tree::{Content, Tree, TreePath};
use fortress_trust::pcr::{self, PhaseValue};
use fortress_trust::{Blank, PublicKeys, Role, Signer, authenticode, secure_boot};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The partition, for messages.
const PARTITION: &str = "esp";
/// How often a new image may fail before the boot loader falls back to the other slot
/// ([Automatic Boot Assessment](https://systemd.io/AUTOMATIC_BOOT_ASSESSMENT/)).
const TRIES: u32 = 3;
/// Where systemd-boot looks for the keys that it enrols by itself.
const KEYS: &str = "loader/keys/auto";
/// Where systemd looks for certificates that root hashes may be signed with, in the initrd.
const VERITY_CERTIFICATE: &str = "/usr/lib/verity.d/fortress.crt";
/// Where the initrd reads what the command line has to be.
const COMMAND_LINE: &str = "/usr/lib/fortress/command-line";
/// What the kernel wants an archive of the initrd to be aligned to.
const ARCHIVE_ALIGNMENT: u64 = 4;
/// How much is read at once.
const PIECE: usize = 1 << 20;
/// Bytes at a program's start that hold its headers.
const HEAD: u64 = 64 * 1024;

/// Writes the EFI system partition, with zeros in place of signatures.
pub(crate) fn write(boot: &Boot<'_>) -> Result<BootFacts> {
    let esp = boot.disk.region(PartitionKind::Esp)?;
    let options = efi_options(boot.identity, esp.length, boot.epoch);
    let tree = efi_files(boot)?;
    fat::write(&tree, &options, boot.image, esp.offset)?;
    let trust = &boot.plan.trust;
    let files = tree.iter().filter(|(_, node)| !node.is_directory());
    let (programs, files): (Vec<_>, Vec<_>) = files
        .map(|(path, _)| path.relative().to_owned())
        .partition(|path| is_program(path));
    Ok(BootFacts::Uefi(UefiFacts {
        enroll: trust.secure_boot.enroll.as_str().to_owned(),
        microsoft: *trust.secure_boot.microsoft,
        uki: format!("EFI/Linux/{}", uki_name(boot.plan)),
        pcr11: Vec::new(),
        programs: programs
            .into_iter()
            .map(|path| ProgramFacts {
                path,
                sha256: String::new(),
                authenticode: String::new(),
                sections: Vec::new(),
            })
            .collect(),
        files: files
            .into_iter()
            .map(|path| FileFacts {
                path,
                sha256: String::new(),
            })
            .collect(),
    }))
}

/// Whether a file name is that of an EFI program.
fn is_program(path: &str) -> bool {
    let name = path.as_bytes();
    name.len() >= 4 && name[name.len() - 4..].eq_ignore_ascii_case(b".efi")
}

/// Puts signatures in their places on the EFI system partition, and tells what was signed.
pub(crate) fn sign(
    image: &File,
    esp: Region,
    facts: &mut UefiFacts,
    epoch: u64,
    keys: &PublicKeys,
    signer: &dyn Signer,
) -> Result<()> {
    let partition = BootVolume::open(image, PARTITION, esp)?;
    partition.enrolment(facts, epoch, keys, signer)?;
    // Several programs may be one, under several names: it is signed once.
    let mut signed: BTreeMap<[u8; 32], Vec<u8>> = BTreeMap::new();
    for program in facts
        .programs
        .iter_mut()
        .filter(|one| one.path != facts.uki)
    {
        partition.program(program, None, &mut signed, keys, signer)?;
    }
    let (measured, hashed) = partition.policy(&facts.uki, keys, signer)?;
    let mut hashed = Some(hashed);
    facts.pcr11 = measured
        .phases()
        .into_iter()
        .map(|value| PcrFacts {
            phase: value.phase,
            sha256: hexadecimal(&value.value),
        })
        .collect();
    // The signature of the unified kernel image covers those of the policy.
    let signer = next_round(signer);
    for program in facts
        .programs
        .iter_mut()
        .filter(|one| one.path == facts.uki)
    {
        partition.program(program, hashed.take(), &mut signed, keys, signer)?;
        program.sections = measured
            .sections()
            .map(|(name, digest)| SectionFacts {
                name: name.to_owned(),
                sha256: hexadecimal(digest),
            })
            .collect();
    }
    for file in &mut facts.files {
        let mut bytes = Vec::new();
        partition
            .file(&file.path)?
            .read_to_end(&mut bytes)
            .map_err(|source| Error::io("read", &file.path, source))?;
        file.sha256 = hexadecimal(&Sha256::digest(&bytes));
    }
    Ok(())
}

/// Where the programs lie in the image.
pub(crate) fn programs(image: &File, esp: Region, facts: &UefiFacts) -> Result<Vec<Region>> {
    let partition = BootVolume::open(image, PARTITION, esp)?;
    let programs = facts.programs.iter();
    programs
        .map(|program| Ok(partition.file(&program.path)?.region()))
        .collect()
}

impl BootVolume<'_> {
    /// Signs what makes the firmware take the owner's keys.
    fn enrolment(
        &self,
        facts: &UefiFacts,
        epoch: u64,
        keys: &PublicKeys,
        signer: &dyn Signer,
    ) -> Result<()> {
        let enrolment = secure_boot::enrolment(keys, signer, epoch, facts.microsoft)?;
        for (name, bytes) in enrolment_files(&enrolment) {
            self.replace(&format!("{KEYS}/{name}"), bytes)?;
        }
        Ok(())
    }

    /// Signs a program, of which a part may be hashed already.
    fn program(
        &self,
        facts: &mut ProgramFacts,
        hashed: Option<Hashed>,
        signed: &mut BTreeMap<[u8; 32], Vec<u8>>,
        keys: &PublicKeys,
        signer: &dyn Signer,
    ) -> Result<()> {
        let path = facts.path.as_str();
        let mut file = self.file(path)?;
        let program = match hashed {
            Some(hashed) => hashed.finish(path, &mut file)?,
            None => examine(path, &mut file)?,
        };
        let message = match signed.get(&program.digest) {
            Some(message) => message.clone(),
            None => authenticode::sign(keys, signer, path, &program.digest)?,
        };
        let attachment = attachment(path, &program, &message)?;
        if attachment.signed_length() != file.region().length {
            return Err(changed(PARTITION, path, "it has no room for its signature"));
        }
        attachment
            .apply(&mut file, 0)
            .map_err(|source| Error::io("write", path, source))?;
        facts.authenticode = hexadecimal(&program.digest);
        signed.insert(program.digest, message);
        Ok(())
    }

    /// Signs the policy of PCR 11, and gives what is measured, and what of the program will not change
    /// any more.
    fn policy(
        &self,
        path: &str,
        keys: &PublicKeys,
        signer: &dyn Signer,
    ) -> Result<(Measurement, Hashed)> {
        let mut file = self.file(path)?;
        let image = headers(path, &mut file)?;
        let section = image
            .section(".pcrsig")
            .ok_or_else(|| changed(PARTITION, path, "it has no section .pcrsig"))?;
        let before = self.file(path)?.take(section.raw_offset.into());
        let (measured, hashed) = rayon::join(
            || measure::measure(&image, &mut file),
            || Hashed::begin(path, before),
        );
        let measured = measured.map_err(|error| changed(PARTITION, path, &error.to_string()))?;
        let text = pcr::sign(keys, signer, path, &measured.phases())?;
        if text.len() as u64 != u64::from(section.length()) {
            return Err(changed(
                PARTITION,
                path,
                "section .pcrsig has another length",
            ));
        }
        file.seek(SeekFrom::Start(section.raw_offset.into()))
            .and_then(|_| file.write_all(text.as_bytes()))
            .map_err(|source| Error::io("write", path, source))?;
        Ok((measured, hashed?))
    }
}

/// The part of a program before its first signature, hashed while the rest was made.
struct Hashed {
    hasher: signature::AuthenticodeHasher,
    length: u64,
}

impl Hashed {
    fn begin(path: &str, file: impl Read) -> Result<Self> {
        let mut file = BufReader::with_capacity(PIECE, file);
        let mut hasher = signature::AuthenticodeHasher::new();
        let length =
            io::copy(&mut file, &mut hasher).map_err(|source| Error::io("read", path, source))?;
        Ok(Self { hasher, length })
    }

    fn finish(mut self, path: &str, file: &mut (impl Read + Seek)) -> Result<signature::Program> {
        file.seek(SeekFrom::Start(self.length))
            .and_then(|_| io::copy(&mut BufReader::new(file), &mut self.hasher))
            .map_err(|source| Error::io("read", path, source))?;
        self.hasher
            .finish()
            .map_err(|error| changed(PARTITION, path, &error.to_string()))
    }
}

fn headers(path: &str, file: &mut (impl Read + Seek)) -> Result<Image> {
    let failed = |source| Error::io("read", path, source);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head).map_err(failed)?;
    Image::parse(&head).map_err(|error| changed(PARTITION, path, &error.to_string()))
}

fn examine(path: &str, file: &mut impl Read) -> Result<signature::Program> {
    signature::examine(file)
        .map_err(|source| Error::io("read", path, source))?
        .map_err(|error| changed(PARTITION, path, &error.to_string()))
}

fn attachment(
    path: &str,
    program: &signature::Program,
    message: &[u8],
) -> Result<signature::Attachment> {
    program
        .attachment(message)
        .map_err(|error| changed(PARTITION, path, &error.to_string()))
}

fn enrolment_files(enrolment: &secure_boot::Enrolment) -> [(&'static str, &[u8]); 3] {
    [
        ("PK.auth", &enrolment.pk),
        ("KEK.auth", &enrolment.kek),
        ("db.auth", &enrolment.db),
    ]
}

/// File names that differ between machines.
struct Names {
    boot: &'static str,
    loader: &'static str,
    stub: &'static str,
}

fn names(architecture: Architecture) -> Names {
    match architecture {
        Architecture::Amd64 => Names {
            boot: "BOOTX64.EFI",
            loader: "systemd-bootx64.efi",
            stub: "linuxx64.efi.stub",
        },
        Architecture::Arm64 => Names {
            boot: "BOOTAA64.EFI",
            loader: "systemd-bootaa64.efi",
            stub: "linuxaa64.efi.stub",
        },
    }
}

/// The files of the EFI system partition: boot loader, its settings, the keys that it enrols, and
/// the unified kernel image that names the root hash.
fn efi_files(boot: &Boot<'_>) -> Result<Tree> {
    let (root, plan) = (boot.root, boot.plan);
    let names = names(*plan.board.architecture);
    let programs = TreePath::new("/usr/lib/systemd/boot/efi")?;
    let loader = root.content(&programs.join(names.loader)?)?.clone();
    let loader = signable(boot, names.loader, &loader)?;
    let mut tree = Tree::new(root.epoch());
    let mut add = |path: &str, content: Content| -> Result<()> {
        Ok(tree.write(&TreePath::new(path)?, 0o755, content)?)
    };
    add(&format!("/EFI/BOOT/{}", names.boot), loader.clone())?;
    add(&format!("/EFI/systemd/{}", names.loader), loader)?;
    let uki = unified_kernel_image(boot, &root.read(&programs.join(names.stub)?)?)?;
    add(&format!("/EFI/Linux/{}", uki_name(plan)), uki)?;
    // No editor: the command line is part of what is verified.
    let loader_settings = format!(
        "timeout 0\neditor no\nauto-firmware no\nsecure-boot-enroll {}\n",
        plan.trust.secure_boot.enroll.as_str()
    );
    add(
        "/loader/loader.conf",
        Content::from(loader_settings.as_str()),
    )?;
    // The boot loader's interface version 1: unified kernel images are found in EFI/Linux.
    add("/loader/entries.srel", "type1\n".into())?;
    let microsoft = *plan.trust.secure_boot.microsoft;
    let enrolment = secure_boot::enrolment(boot.keys, &Blank, time(boot.epoch), microsoft)?;
    for (name, bytes) in enrolment_files(&enrolment) {
        add(&format!("/{KEYS}/{name}"), Content::from(bytes.to_vec()))?;
    }
    Ok(tree)
}

/// A program with room for its signature.
fn signable(boot: &Boot<'_>, name: &str, program: &Content) -> Result<Content> {
    let lost = |source| Error::io("read", name, source);
    let found = examine(name, &mut program.reader().map_err(lost)?)?;
    let message = authenticode::sign(boot.keys, &Blank, name, &found.digest)?;
    let attachment = attachment(name, &found, &message)?;
    write_file(&boot.scratch.join(name), |out| {
        attachment
            .copy(&mut program.reader().map_err(lost)?, out)
            .map_err(|source| Error::io("write", name, source))
    })
}

/// The unified kernel image, with room for its signatures.
fn unified_kernel_image(boot: &Boot<'_>, stub: &[u8]) -> Result<Content> {
    let Boot {
        root, plan, keys, ..
    } = boot;
    let nothing: Vec<PhaseValue> = measure::Measurement::default().phases();
    let policy = pcr::sign(keys, &Blank, "", &nothing)?;
    let public_key = keys.key(Role::Pcr)?.pem()?;
    let sections = UkiSections {
        stub,
        os_release: &root.read(&TreePath::new("/usr/lib/os-release")?)?,
        command_line: &command_line(plan, boot.root_hash),
        device_tree: None,
        uname: &boot.kernel.release,
        pcr_public_key: public_key.as_bytes(),
        linux: boot.kernel.image.clone(),
        initrd: owners_initrd(boot)?,
        sbat: SBAT,
        pcr_signature: policy.as_bytes(),
    };
    let path = boot.scratch.join("uki");
    let mut length = 0;
    write_file(&path, |out| {
        length = uki::build(&sections, out)?;
        Ok(())
    })?;
    let name = uki_name(plan);
    let failed = |source| Error::io("write", &path, source);
    let mut file = File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    // What is signed is not known yet, and its digest has one length.
    let program = signature::Program {
        digest: [0; 32],
        length,
        signatures: Vec::new(),
        image: headers(&name, &mut file)?,
    };
    let message = authenticode::sign(keys, &Blank, &name, &program.digest)?;
    attachment(&name, &program, &message)?
        .apply(&mut file, 0)
        .map_err(failed)?;
    Ok(Content::host_file(&path)?)
}

/// The initrd, and behind it an archive with what is this image's and its owner's: the command line,
/// and the certificate that root hashes are signed with. So the first one, and the root, are the same
/// for every owner.
fn owners_initrd(boot: &Boot<'_>) -> Result<Content> {
    let mut tree = Tree::new(boot.epoch);
    let certificate = boot.keys.certificate(Role::Verity)?.pem()?;
    let path = TreePath::new(VERITY_CERTIFICATE)?;
    tree.write(&path, 0o644, Content::from(certificate.as_str()))?;
    let line = format!("{}\n", command_line(boot.plan, boot.root_hash));
    tree.write(&TreePath::new(COMMAND_LINE)?, 0o644, line)?;
    write_file(&boot.scratch.join("initrd"), |out| {
        let failed = |source| Error::io("write", Path::new("initrd"), source);
        let common = boot.initrd.reader().map_err(failed)?;
        let mut common = BufReader::with_capacity(PIECE, common);
        let length = io::copy(&mut common, out).map_err(failed)?;
        let padding = length.next_multiple_of(ARCHIVE_ALIGNMENT) - length;
        out.write_all(&vec![0; padding as usize]).map_err(failed)?;
        Ok(cpio::write(&tree, boot.epoch, out)?)
    })
}

/// The unified kernel image's file name, with the tries that it has.
fn uki_name(plan: &Plan) -> String {
    format!("{}_{}+{TRIES}.efi", plan.name.value, plan.version.value)
}

/// GUIDs and volume IDs of the EFI system partition.
fn efi_options(identity: &Identity, size: u64, epoch: i64) -> FatOptions {
    FatOptions {
        kind: FatKind::Fat32,
        size,
        sectors_per_cluster: None,
        volume_id: identity.volume_id("esp"),
        label: "ESP".into(),
        epoch,
    }
}
