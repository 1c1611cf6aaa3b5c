//! What the Raspberry Pi's firmware takes: the texts that it reads and the files in boot.img
//! ([config.txt](https://www.raspberrypi.com/documentation/computers/config_txt.html),
//! [signed boot](https://github.com/raspberrypi/usbboot/blob/master/docs/secure-boot-chain-of-trust-2711.pdf)).
//!
//! On the disk: the first partition holds [`autoboot()`] alone, which chooses a slot. A slot's boot
//! partition holds `boot.img`, its signature `boot.sig`, and a `config.txt` ([`OUTER_CONFIG`]) for
//! boards that check no signature. `boot.img` is a FAT file system of its own, with everything that
//! is signed: kernel, initrd, device trees, settings, and the command line with the root hash.

use crate::device_tree::DeviceTree;
use crate::{Error, Result};
use fortress_filesystem::fat;
use fortress_tree::{Content, Tree, TreePath};
use std::io::Read;

/// What chooses the slot.
pub const AUTOBOOT: &str = "autoboot.txt";
/// Settings.
pub const CONFIG: &str = "config.txt";
/// The file system that is signed.
pub const BOOT_IMAGE: &str = "boot.img";
/// Its signature.
pub const BOOT_SIGNATURE: &str = "boot.sig";
/// The kernel's command line.
pub const COMMAND_LINE: &str = "cmdline.txt";
/// The kernel, as [`boot_files`] calls it.
pub const KERNEL: &str = "kernel.gz";
/// The initrd, as [`boot_files`] calls it.
pub const INITRD: &str = "initrd";
/// Where the firmware looks for overlays.
pub const OVERLAYS: &str = "overlays";

/// Sectors in a cluster of the file systems that the firmware reads: with one, FAT32 begins at 33 MiB.
pub const SECTORS_PER_CLUSTER: u8 = 1;

/// The most that the firmware reads of autoboot.txt, in bytes.
const AUTOBOOT_LIMIT: usize = 512;
/// The most that arm64 kernels take of a command line, in bytes (COMMAND_LINE_SIZE), of which the
/// firmware adds about a quarter itself.
const COMMAND_LINE_LIMIT: usize = 1536;

/// The config.txt beside boot.img. Boards with a key of the owner's load nothing but boot.img and
/// look at no signature-less file; all others do what this says.
pub const OUTER_CONFIG: &str = "\
# Everything is in boot.img, whose signature boards with the owner's key check before they start it.
[all]
boot_ramdisk=1
";

/// The text that chooses the slot by the partition's number: `normal`, and `other` after a
/// restart that asks for a try (`tryboot`).
///
/// # Errors
/// When it is longer than the firmware reads.
pub fn autoboot(normal: u32, other: Option<u32>) -> Result<String> {
    let mut text = format!("[all]\ntryboot_a_b=1\nboot_partition={normal}\n");
    if let Some(other) = other {
        text.push_str(&format!("[tryboot]\nboot_partition={other}\n"));
    }
    bounded(AUTOBOOT, text, AUTOBOOT_LIMIT)
}

fn bounded(file: &'static str, text: String, limit: usize) -> Result<String> {
    match text.len() <= limit {
        true => Ok(text),
        false => Err(Error::Text {
            file,
            limit,
            length: text.len(),
            text: text.chars().take(64).collect(),
        }),
    }
}

/// What goes into boot.img.
#[derive(Debug, Clone)]
pub struct BootFiles<'a> {
    /// The kernel, compressed with gzip.
    pub kernel: Content,
    /// The initrd.
    pub initrd: Content,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// Device trees by file name.
    pub device_trees: Vec<(String, Content)>,
    /// Overlays by name, without `.dtbo`.
    pub overlays: Vec<(String, Vec<u8>)>,
    /// Files of the firmware itself.
    pub firmware: Vec<(String, Content)>,
    /// More lines of config.txt.
    pub config: Vec<&'a str>,
}

/// The files of boot.img.
///
/// # Errors
/// When the command line is too long, or a name is none.
pub fn boot_files(files: &BootFiles<'_>, epoch: i64) -> Result<Tree> {
    let mut tree = Tree::new(epoch);
    let mut add = |name: &str, content: Content| -> Result<()> {
        let path = TreePath::root().join(name)?;
        Ok(tree.write(&path, 0o644, content)?)
    };
    let mut config = format!(
        "# Part of what is signed. No file is looked for but those here.\n\
         [all]\nkernel={KERNEL}\ninitramfs {INITRD} followkernel\nauto_initramfs=0\n"
    );
    for line in &files.config {
        config.push_str(line);
        config.push('\n');
    }
    add(CONFIG, config.into())?;
    let command_line = bounded(
        COMMAND_LINE,
        format!("{}\n", files.command_line),
        COMMAND_LINE_LIMIT,
    )?;
    add(COMMAND_LINE, command_line.into())?;
    add(KERNEL, files.kernel.clone())?;
    add(INITRD, files.initrd.clone())?;
    for (name, content) in files.device_trees.iter().chain(&files.firmware) {
        add(name, content.clone())?;
    }
    for (name, bytes) in &files.overlays {
        let name = format!("{OVERLAYS}/{name}.dtbo");
        add(&name, Content::from(bytes.clone()))?;
    }
    Ok(tree)
}

/// Size in bytes of the boot.img with these files.
///
/// # Errors
/// When a file has no form in FAT.
pub fn boot_image_length(files: &Tree) -> Result<u64> {
    Ok(fat::plan(files, Some(SECTORS_PER_CLUSTER))?)
}

/// The overlay `overlay` that turns device tree `from` into `to`, each with its name.
///
/// # Errors
/// When one of them is no device tree, or no overlay can say the difference.
pub fn stepping_overlay(overlay: &str, from: (&str, &[u8]), to: (&str, &[u8])) -> Result<Vec<u8>> {
    let parse = |(name, bytes): (&str, &[u8])| {
        DeviceTree::parse(bytes).map_err(|reason| Error::DeviceTree {
            name: name.to_owned(),
            reason,
        })
    };
    let refused = |reasons| Error::Overlay {
        overlay: overlay.to_owned(),
        from: from.0.to_owned(),
        to: to.0.to_owned(),
        reasons,
    };
    let overlay = parse(from)?.overlay_to(&parse(to)?).map_err(refused)?;
    Ok(overlay.to_bytes())
}

/// Refuses a kernel that the firmware cannot start: it takes the kernel's plain form (Image of
/// arm64, [booting.rst](https://docs.kernel.org/arch/arm64/booting.html) section 4), also in gzip.
///
/// # Errors
/// When it is in another form, or cannot be read.
pub fn check_kernel(kernel: &Content) -> Result<()> {
    let failed = |source| Error::Gzip { source };
    let reader = kernel.reader().map_err(failed)?;
    let mut head = Vec::new();
    match crate::gzip::is_gzip(kernel)? {
        true => {
            let decoder = flate2::read::GzDecoder::new(reader);
            decoder.take(64).read_to_end(&mut head).map_err(failed)?
        }
        false => reader.take(64).read_to_end(&mut head).map_err(failed)?,
    };
    let reason = if head.get(4..8) == Some(b"zimg") {
        "it is compressed in a way that only UEFI firmware understands (zboot)"
    } else if head.get(56..60) != Some(b"ARM\x64") {
        "it is no kernel for arm64"
    } else {
        return Ok(());
    };
    Err(Error::Kernel { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_chosen_by_partition() {
        assert_eq!(
            autoboot(2, Some(3)).unwrap(),
            "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
        );
        assert!(!autoboot(2, None).unwrap().contains("[tryboot]"));
    }

    #[test]
    fn a_command_line_that_the_kernel_would_cut_off_is_refused() {
        let long = "a".repeat(COMMAND_LINE_LIMIT);
        let files = |command_line| BootFiles {
            kernel: Content::from("k"),
            initrd: Content::from("i"),
            command_line,
            device_trees: vec![("a.dtb".into(), Content::from("d"))],
            overlays: vec![("x".into(), vec![1])],
            firmware: Vec::new(),
            config: vec!["enable_uart=1"],
        };
        let tree = boot_files(&files("roothash=00"), 0).unwrap();
        let names: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        assert!(names.contains(&"/overlays/x.dtbo".to_owned()), "{names:?}");
        let error = boot_files(&files(&long), 0).unwrap_err().to_string();
        assert!(error.contains("cmdline.txt"), "{error}");
        assert!(error.len() < 200, "{error}");
    }

    #[test]
    fn only_plain_arm64_kernels_are_taken() {
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"ARM\x64");
        let plain = Content::from(image.clone());
        check_kernel(&plain).unwrap();
        let mut packed = Vec::new();
        crate::gzip::write(&plain, &mut packed).unwrap();
        check_kernel(&Content::from(packed)).unwrap();
        image[4..8].copy_from_slice(b"zimg");
        let error = check_kernel(&Content::from(image)).unwrap_err();
        assert!(error.to_string().contains("zboot"), "{error}");
        for other in [&b"MZ"[..], b"", &[0; 100]] {
            assert!(check_kernel(&Content::from(other.to_vec())).is_err());
        }
    }
}
