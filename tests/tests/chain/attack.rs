//! What somebody with the disk in his hands can do to it, with the tools that anybody has.

use crate::fixture::{Built, ESP, machine};
use fortress_progress::Silent;
use fortress_qemu::{BootTest, Expectation, Report, Verdict, run};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Boots what must not boot; gives the report. `pattern` names the line that says why it did not,
/// `stage` begins where it stood then.
pub(crate) fn refused(mut test: BootTest, pattern: &str, stage: &str) -> Report {
    test.expectation = Expectation::Caught;
    let report = run(&test, &Silent).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{report}");
    let found = report.findings.iter().any(|own| own.pattern == pattern);
    assert!(found, "no line of {pattern}: {report}");
    let boot = report.boots.last().unwrap();
    assert!(boot.health.is_none(), "{report}");
    assert!(boot.stage.starts_with(stage), "{}: {report}", boot.stage);
    let _ = std::fs::remove_file(&test.image);
    report
}

/// The state stayed closed: it was not opened, no key of it was shown, and nothing above it ran.
pub(crate) fn stayed_closed(report: &Report) {
    let log = std::fs::read_to_string(&report.serial_log).unwrap();
    for sign in [
        "RECOVERY KEY",
        // The initrd got what it wanted.
        "Finished fortress-state.service",
        "Extended PCR index 15",
        "Welcome to ",
    ] {
        assert!(!log.contains(sign), "{sign:?} is on the console: {log}");
    }
}

/// Runs a tool, which must succeed; gives what it printed.
pub(crate) fn tool(command: &[&str]) -> String {
    let output = Command::new(command[0])
        .args(&command[1..])
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", command[0]));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Flips the lowest bit of a byte.
pub(crate) fn flip(file: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// Copies a stretch of one file to a place in another.
pub(crate) fn copy(from: &Path, (start, length): (u64, u64), to: &Path, place: u64) {
    let from = File::open(from).unwrap();
    let to = File::options().write(true).open(to).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < length {
        let count = (length - done).min(buffer.len() as u64) as usize;
        from.read_exact_at(&mut buffer[..count], start + done)
            .unwrap();
        to.write_all_at(&buffer[..count], place + done).unwrap();
        done += count as u64;
    }
}

/// The ESP of a disk, for mtools.
pub(crate) struct Esp {
    drive: String,
}

impl Esp {
    pub(crate) fn of(disk: &Path) -> Self {
        let (offset, _) = machine().built.partition(ESP);
        Self {
            drive: format!("{}@@{offset}", disk.display()),
        }
    }

    /// The UKIs, by name: the boot loader renames them as it counts tries.
    pub(crate) fn ukis(&self) -> Vec<String> {
        tool(&["mdir", "-b", "-i", &self.drive, "::/EFI/Linux"])
            .lines()
            .map(|line| line.trim_start_matches("::").to_owned())
            .collect()
    }

    pub(crate) fn get(&self, path: &str, to: &Path) {
        let to = to.to_str().unwrap();
        tool(&[
            "mcopy",
            "-n",
            "-o",
            "-i",
            &self.drive,
            &format!("::{path}"),
            to,
        ]);
    }

    pub(crate) fn put(&self, from: &Path, path: &str) {
        let from = from.to_str().unwrap();
        tool(&["mcopy", "-o", "-i", &self.drive, from, &format!("::{path}")]);
    }

    pub(crate) fn put_text(&self, text: &str, path: &str, scratch: &Path) {
        let file = scratch.join("text");
        std::fs::write(&file, text).unwrap();
        self.put(&file, path);
    }

    pub(crate) fn make_folder(&self, path: &str) {
        tool(&["mmd", "-i", &self.drive, &format!("::{path}")]);
    }

    /// Changes the only UKI.
    pub(crate) fn change_uki(&self, scratch: &Path, change: impl FnOnce(&Path) -> PathBuf) {
        let ukis = self.ukis();
        assert_eq!(ukis.len(), 1, "{ukis:?}");
        let uki = scratch.join("uki.efi");
        self.get(&ukis[0], &uki);
        self.put(&change(&uki), &ukis[0]);
    }
}

/// An image's own UKI, out of its ESP.
pub(crate) fn uki_of(built: &Built, scratch: &Path) -> PathBuf {
    let esp = Esp::of(&built.image);
    let uki = scratch.join("other.efi");
    esp.get(&esp.ukis()[0], &uki);
    uki
}

/// Where the content of a section of a UKI begins in its file.
pub(crate) fn section(uki: &Path, name: &str) -> u64 {
    let said = tool(&["objdump", "-h", uki.to_str().unwrap()]);
    let line = said
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.get(1) == Some(&name));
    u64::from_str_radix(line.unwrap()[5], 16).unwrap()
}

/// Takes the signature off a UKI, and signs it with other keys if there are any.
pub(crate) fn resigned(uki: &Path, keys: Option<&Path>) -> PathBuf {
    let bare = uki.with_extension("bare.efi");
    std::fs::copy(uki, &bare).unwrap();
    let name = bare.to_str().unwrap();
    tool(&["sbattach", "--remove", name]);
    let Some(keys) = keys else {
        return bare;
    };
    let signed = uki.with_extension("signed.efi");
    let [key, certificate] =
        ["db.key.pem", "db.crt"].map(|file| keys.join(file).to_str().unwrap().to_owned());
    // sbsign takes certificates as PEM alone.
    let pem = uki.with_extension("pem");
    let pem = pem.to_str().unwrap();
    tool(&["openssl", "x509", "-in", &certificate, "-out", pem]);
    let to = signed.to_str().unwrap();
    tool(&["sbsign", "--key", &key, "--cert", pem, "--output", to, name]);
    signed
}
