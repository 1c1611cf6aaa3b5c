//! From an image to what a board would start.

use super::configuration::{Conditions, Configuration, Source};
use super::fat::{Entry, Volume};
use super::partitions::{self, Partition};
use super::refusal::{Refusal, Result};
use super::{Board, Situation, Started, kernel, signature};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The largest `autoboot.txt` that the firmware reads, in bytes.
const LARGEST_AUTOBOOT: u64 = 512;
/// The largest `config.txt` and `cmdline.txt` that this reads, in bytes.
const LARGEST_TEXT: u64 = 64 << 10;
/// The longest command line of an arm64 kernel, in bytes (`COMMAND_LINE_SIZE`, with its final zero).
const LONGEST_COMMAND_LINE: usize = 2047;
/// The largest initrd that is copied, in bytes.
const LARGEST_INITRD: u64 = 512 << 20;

/// Reads an image as the firmware of a board does, and puts what that board would start into a
/// folder: `kernel`, `initrd`, `device-tree.dtb` and what it was made from. The image is only read.
///
/// # Errors
/// Why the board would not start.
pub fn resolve(
    image: &Path,
    situation: &Situation,
    folder: &Path,
) -> std::result::Result<Started, Refusal> {
    let disk = File::open(image).map_err(Refusal::file("read", image))?;
    std::fs::create_dir_all(folder).map_err(Refusal::file("create", folder))?;
    let mut resolver = Resolver {
        situation,
        folder,
        log: Vec::new(),
    };
    let (table, partitions) = partitions::read(&disk)?;
    let readable = partitions.iter().filter(|own| own.readable).count();
    resolver.say(format!(
        "{table} with {} partitions, {readable} of a type in which the firmware looks for a FAT",
        partitions.len()
    ));
    let choice = resolver.choose(&disk, &partitions)?;
    let volume = open(&disk, &partitions, choice.partition)?;
    resolver.say(format!(
        "{} is started from, a {}",
        volume.place(),
        volume.kind()
    ));
    resolver.start(&volume, &choice)
}

/// What `autoboot.txt` comes to.
#[derive(Debug)]
struct Choice {
    partition: u32,
    /// Whether the slot is tried under the ordinary names of its files.
    by_partition: bool,
}

struct Resolver<'a> {
    situation: &'a Situation,
    folder: &'a Path,
    log: Vec<String>,
}

/// Opens the FAT of a partition that something named.
fn open<'a>(disk: &'a File, partitions: &[Partition], number: u32) -> Result<Volume<'a>> {
    let refused = |why: &str| Refusal::Partition {
        number,
        why: why.to_owned(),
    };
    let partition = partitions
        .iter()
        .find(|own| own.number == number)
        .ok_or_else(|| refused("there is no such partition"))?;
    if !partition.readable {
        return Err(refused(
            "its type is none in which the firmware looks for a FAT",
        ));
    }
    let place = format!("partition {number}");
    Volume::open(disk, partition.offset, partition.length, &place)?
        .ok_or_else(|| refused("there is no FAT in it"))
}

impl Resolver<'_> {
    fn say(&mut self, line: String) {
        self.log.push(line);
    }

    fn conditions(&self, partition: Option<u32>) -> Conditions {
        Conditions {
            board: self.situation.board,
            tryboot: self.situation.tryboot,
            partition,
        }
    }

    /// The partition that is to be started from: what `autoboot.txt` on the first FAT says, or else the
    /// first one that has what the board starts.
    fn choose(&mut self, disk: &File, partitions: &[Partition]) -> Result<Choice> {
        let mut first = None;
        for partition in partitions.iter().filter(|own| own.readable) {
            let place = format!("partition {}", partition.number);
            let volume = Volume::open(disk, partition.offset, partition.length, &place)?;
            if let Some(volume) = volume {
                first = Some((partition.number, volume));
                break;
            }
        }
        let (number, volume) = first.ok_or_else(|| {
            Refusal::Table("no partition of a type that the firmware reads has a FAT".to_owned())
        })?;
        let Some(text) = self.text(&volume, "autoboot.txt", LARGEST_AUTOBOOT)? else {
            self.say(format!("partition {number} has no autoboot.txt"));
            return Ok(Choice {
                partition: number,
                by_partition: false,
            });
        };
        let place = volume.place().to_owned();
        let source = Source {
            file: "autoboot.txt",
            place: &place,
        };
        let read = Configuration::read(&text, source, &self.conditions(None))?;
        let by_partition = read.is_set("tryboot_a_b", source)?;
        let partition = match read.number("boot_partition", source)? {
            None | Some(0) => number,
            Some(partition) => partition,
        };
        self.say(format!(
            "autoboot.txt of {place} names partition {partition}{}",
            match self.situation.tryboot {
                true => ", with the tryboot flag",
                false => "",
            }
        ));
        Ok(Choice {
            partition,
            by_partition,
        })
    }

    /// Starts from a partition.
    fn start(mut self, volume: &Volume<'_>, choice: &Choice) -> Result<Started> {
        // With tryboot the files of one partition have names of their own, unless slots are
        // partitions.
        let (config, boot_image) = match self.situation.tryboot && !choice.by_partition {
            true => ("tryboot.txt", "tryboot.img"),
            false => ("config.txt", "boot.img"),
        };
        if let Some(owner) = self.situation.owner.clone() {
            let digest =
                self.boot_image(volume, boot_image, "a board with its owner's key starts")?;
            let signature_file = boot_image.replace(".img", ".sig");
            let text = self
                .text(volume, &signature_file, signature::LONGEST)?
                .ok_or_else(|| {
                    Refusal::Signature(format!("{} has no {signature_file}", volume.place()))
                })?;
            signature::verify(&text, &digest, &owner)?;
            self.say(format!("{signature_file} is by the key in the EEPROM"));
            return self.start_image(choice, digest);
        }
        if self.situation.board == Board::Pi4 {
            self.demand(volume, "start4.elf", "a Raspberry Pi 4 looks for")?;
        }
        let source = Source {
            file: config,
            place: volume.place(),
        };
        let text = self.text(volume, config, LARGEST_TEXT)?;
        let text = text.ok_or_else(|| Refusal::Missing {
            file: config.to_owned(),
            place: volume.place().to_owned(),
            needed_by: "a partition must have to be started from".to_owned(),
        })?;
        let read = self.configuration(&text, source, choice)?;
        if !read.is_set("boot_ramdisk", source)? {
            self.say(format!(
                "{config} of {} does not set boot_ramdisk: its own files are started",
                volume.place()
            ));
            return self.finish(volume, config, choice, None);
        }
        let digest = self.boot_image(volume, boot_image, "config.txt asks for (boot_ramdisk=1)")?;
        self.start_image(choice, digest)
    }

    /// Starts what is in the copy of `boot.img`.
    fn start_image(self, choice: &Choice, digest: [u8; 32]) -> Result<Started> {
        let path = self.folder.join(BOOT_IMAGE);
        let file = File::open(&path).map_err(Refusal::file("read", &path))?;
        let length = file.metadata().map_err(Refusal::file("read", &path))?.len();
        let volume = Volume::open(&file, 0, length, "boot.img")?;
        let volume = volume.ok_or_else(|| Refusal::FileSystem {
            place: "boot.img".to_owned(),
            why: "it is no FAT (it must have no partition table)".to_owned(),
        })?;
        self.finish(&volume, "config.txt", choice, Some(digest))
    }

    /// Copies the boot image out; gives its SHA-256.
    fn boot_image(&mut self, volume: &Volume<'_>, name: &str, needed_by: &str) -> Result<[u8; 32]> {
        let entry = self.demand(volume, name, needed_by)?;
        let board = self.situation.board;
        let limit = board.largest_boot_image();
        if entry.length > limit {
            return Err(Refusal::TooLarge {
                file: name.to_owned(),
                place: volume.place().to_owned(),
                length: entry.length,
                what: board.name(),
                limit,
            });
        }
        let path = self.folder.join(BOOT_IMAGE);
        let file = File::create(&path).map_err(Refusal::file("write", &path))?;
        let mut out = Hashing {
            file: BufWriter::new(file),
            hasher: Sha256::new(),
        };
        volume.copy(entry, &mut out)?;
        out.flush().map_err(Refusal::file("write", &path))?;
        let digest: [u8; 32] = out.hasher.finalize().into();
        self.say(format!(
            "{name} of {}: {} bytes, SHA-256 {}",
            volume.place(),
            entry.length,
            hexadecimal(&digest)
        ));
        Ok(digest)
    }

    fn configuration(
        &mut self,
        text: &[u8],
        source: Source<'_>,
        choice: &Choice,
    ) -> Result<Configuration> {
        let conditions = self.conditions(Some(choice.partition));
        let read = Configuration::read(text, source, &conditions)?;
        if !read.passed_over.is_empty() {
            self.say(format!(
                "{} of {}: {} not for this board or start",
                source.file,
                source.place,
                read.passed_over.join(", ")
            ));
        }
        Ok(read)
    }

    /// Gathers what is started from the volume that has the kernel.
    fn finish(
        mut self,
        volume: &Volume<'_>,
        config: &str,
        choice: &Choice,
        digest: Option<[u8; 32]>,
    ) -> Result<Started> {
        let place = volume.place().to_owned();
        let source = Source {
            file: config,
            place: &place,
        };
        let text = self.text(volume, config, LARGEST_TEXT)?;
        let text = text.ok_or_else(|| Refusal::Missing {
            file: config.to_owned(),
            place: place.clone(),
            needed_by: "says what to start".to_owned(),
        })?;
        let read = self.configuration(&text, source, choice)?;
        if read.number("arm_64bit", source)? == Some(0) {
            return Err(Refusal::Content {
                file: config.to_owned(),
                place,
                why: "asks for a 32-bit kernel (arm_64bit=0)".to_owned(),
            });
        }
        if self.situation.board == Board::Pi4 && digest.is_some() {
            for file in ["start4.elf", "fixup4.dat"] {
                self.demand(volume, file, "a Raspberry Pi 4 takes from its boot.img")?;
            }
        }
        let names = Names::new(self.situation.board, &read, volume)?;
        if let Some(prefix) = names.ignored {
            self.say(format!(
                "os_prefix={prefix} is passed over: kernel or device tree are not there"
            ));
        }
        let packed = self.extract(volume, &names.kernel, "kernel.packed", kernel_by(&read))?;
        let kernel = self.folder.join("kernel");
        let kind = kernel::unpack(&packed, &kernel, &names.kernel, &place)?;
        self.say(format!("kernel: {} of {place} ({kind})", names.kernel));
        let initrd = self.initrd(volume, &read, &names)?;
        let named = read.get("device_tree").is_some();
        let by = match named {
            true => "config.txt names as device_tree".to_owned(),
            false => format!("the firmware of a {} loads", self.situation.board.name()),
        };
        let device_tree = self.extract(volume, &names.device_tree, "device-tree.dtb", by)?;
        self.say(format!("device tree: {} of {place}", names.device_tree));
        let overlays = self.overlays(volume, &read, &names, named)?;
        let command_line = self.command_line(volume, &names)?;
        Ok(Started {
            partition: choice.partition,
            boot_image: digest.as_ref().map(|digest| hexadecimal(digest)),
            signed: self.situation.owner.is_some(),
            kernel,
            initrd,
            device_tree,
            overlays,
            command_line,
            log: self.log,
        })
    }

    fn initrd(
        &mut self,
        volume: &Volume<'_>,
        read: &Configuration,
        names: &Names<'_>,
    ) -> Result<Option<PathBuf>> {
        if read.initrds().is_empty() {
            self.say("no initrd".to_owned());
            return Ok(None);
        }
        let path = self.folder.join("initrd");
        let file = File::create(&path).map_err(Refusal::file("write", &path))?;
        let mut out = BufWriter::new(file);
        let mut left = LARGEST_INITRD;
        for name in read.initrds() {
            let name = names.path(name);
            let entry = self.demand(volume, &name, "config.txt names as initramfs")?;
            left = left
                .checked_sub(entry.length)
                .ok_or_else(|| Refusal::TooLarge {
                    file: name.clone(),
                    place: volume.place().to_owned(),
                    length: entry.length,
                    what: "this test",
                    limit: LARGEST_INITRD,
                })?;
            volume.copy(entry, &mut out)?;
            self.say(format!("initrd: {name} of {}", volume.place()));
        }
        out.flush().map_err(Refusal::file("write", &path))?;
        Ok(Some(path))
    }

    fn overlays(
        &mut self,
        volume: &Volume<'_>,
        read: &Configuration,
        names: &Names<'_>,
        device_tree_named: bool,
    ) -> Result<Vec<PathBuf>> {
        let mut wanted: Vec<(String, &str)> = Vec::new();
        if self.situation.board == Board::Pi5 && self.situation.newer_stepping && !device_tree_named
        {
            let by = "the firmware of a Raspberry Pi 5 of stepping D0 applies";
            wanted.push(("bcm2712d0".to_owned(), by));
        }
        let asked = read.overlays().iter();
        wanted.extend(asked.map(|name| (name.clone(), "config.txt names as dtoverlay")));
        let mut overlays = Vec::new();
        for (number, (name, by)) in wanted.into_iter().enumerate() {
            let path = names.overlay(&name);
            let copy = format!("overlay-{number}.dtbo");
            overlays.push(self.extract(volume, &path, &copy, by.to_owned())?);
            self.say(format!("overlay: {path} of {}", volume.place()));
        }
        Ok(overlays)
    }

    fn command_line(&mut self, volume: &Volume<'_>, names: &Names<'_>) -> Result<String> {
        let file = &names.command_line;
        let refused = |why: String| Refusal::Content {
            file: file.clone(),
            place: volume.place().to_owned(),
            why,
        };
        self.demand(volume, file, "has the kernel's command line")?;
        let text = self.text(volume, file, LARGEST_TEXT)?.unwrap_or_default();
        let text = text.trim_ascii_end();
        if text.len() > LONGEST_COMMAND_LINE {
            return Err(refused(format!(
                "has {} bytes, and a kernel takes {LONGEST_COMMAND_LINE}",
                text.len()
            )));
        }
        match std::str::from_utf8(text) {
            Ok(line) if line.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => {
                self.say(format!(
                    "command line: {file} of {}: {line}",
                    volume.place()
                ));
                Ok(line.to_owned())
            }
            _ => Err(refused("is not one line of plain text".to_owned())),
        }
    }

    /// A file that must be there.
    fn demand(&self, volume: &Volume<'_>, name: &str, needed_by: &str) -> Result<Entry> {
        volume.find(name)?.ok_or_else(|| Refusal::Missing {
            file: name.to_owned(),
            place: volume.place().to_owned(),
            needed_by: needed_by.to_owned(),
        })
    }

    /// Copies a file that must be there into the folder.
    fn extract(
        &self,
        volume: &Volume<'_>,
        name: &str,
        copy: &str,
        needed_by: String,
    ) -> Result<PathBuf> {
        let entry = self.demand(volume, name, &needed_by)?;
        let path = self.folder.join(copy);
        let file = File::create(&path).map_err(Refusal::file("write", &path))?;
        let mut out = BufWriter::new(file);
        volume.copy(entry, &mut out)?;
        out.flush().map_err(Refusal::file("write", &path))?;
        Ok(path)
    }

    /// A short text; none when there is no such file.
    fn text(&self, volume: &Volume<'_>, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(entry) = volume.find(name)? else {
            return Ok(None);
        };
        if entry.length > limit {
            return Err(Refusal::TooLarge {
                file: name.to_owned(),
                place: volume.place().to_owned(),
                length: entry.length,
                what: "the firmware",
                limit,
            });
        }
        let mut text = Vec::new();
        volume.copy(entry, &mut text)?;
        Ok(Some(text))
    }
}

/// The copy of `boot.img` in the folder.
const BOOT_IMAGE: &str = "boot.img";

/// Who asks for the kernel.
fn kernel_by(read: &Configuration) -> String {
    match read.get("kernel") {
        Some(_) => "config.txt names as kernel".to_owned(),
        None => "the firmware loads where config.txt names no kernel".to_owned(),
    }
}

/// The names of what is started, prefixes applied.
struct Names<'a> {
    prefix: &'a str,
    overlay_prefix: String,
    kernel: String,
    device_tree: String,
    command_line: String,
    /// A prefix under which nothing was found.
    ignored: Option<&'a str>,
}

impl<'a> Names<'a> {
    fn new(board: Board, read: &'a Configuration, volume: &Volume<'_>) -> Result<Self> {
        let wanted = read.get("os_prefix").unwrap_or_default();
        let device_tree = read
            .get("device_tree")
            .filter(|name| !name.is_empty())
            .unwrap_or(board.device_tree());
        let kernel_under = |prefix: &str| -> Result<String> {
            if let Some(name) = read.get("kernel") {
                return Ok(prefixed(prefix, name));
            }
            let [names @ .., last] = board.kernels() else {
                return Ok(String::new());
            };
            for name in names {
                if volume.find(&prefixed(prefix, name))?.is_some() {
                    return Ok(prefixed(prefix, name));
                }
            }
            Ok(prefixed(prefix, last))
        };
        // The firmware holds a prefix for good when kernel and device tree are under it.
        let mut prefix = wanted;
        if !wanted.is_empty()
            && (volume.find(&kernel_under(wanted)?)?.is_none()
                || volume.find(&prefixed(wanted, device_tree))?.is_none())
        {
            prefix = "";
        }
        let overlays = read.get("overlay_prefix").unwrap_or("overlays/");
        let own_overlays =
            !prefix.is_empty() && volume.find(&format!("{prefix}{overlays}README"))?.is_some();
        Ok(Self {
            prefix,
            overlay_prefix: match own_overlays {
                true => format!("{prefix}{overlays}"),
                false => overlays.to_owned(),
            },
            kernel: kernel_under(prefix)?,
            device_tree: prefixed(prefix, device_tree),
            command_line: prefixed(prefix, read.get("cmdline").unwrap_or("cmdline.txt")),
            ignored: (prefix != wanted).then_some(wanted),
        })
    }

    fn path(&self, name: &str) -> String {
        prefixed(self.prefix, name)
    }

    fn overlay(&self, name: &str) -> String {
        format!("{}{name}.dtbo", self.overlay_prefix)
    }
}

/// A name under a prefix, which one that begins with `/` does without.
fn prefixed(prefix: &str, name: &str) -> String {
    match name.strip_prefix('/') {
        Some(name) => name.to_owned(),
        None => format!("{prefix}{name}"),
    }
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file whose bytes are hashed as they are written.
struct Hashing {
    file: BufWriter<File>,
    hasher: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
