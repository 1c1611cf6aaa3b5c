//! No target, but what writes that with which the others begin: small things that are sound, made by the
//! builder's own writers or taken from the project. `corpus/TARGET/` gets them, beside what was found
//! before. (As a target it is compiled as all others are; as a program it would be compiled anew, with
//! the whole builder.)
#![no_main]

use flate2::Compression;
use flate2::write::GzEncoder;
use fortress_boot::device_tree::{DeviceTree, Node};
use fortress_boot::pe::signature;
use fortress_disk::Region;
use fortress_disk::verity::{self, VerityOptions};
use fortress_fuzz::{Archive, ar, boot_disk, control, efi_program, entry, folder, tar, write};
use fortress_progress::Silent;
use fortress_trust::pcr::{self, PhaseValue};
use fortress_trust::{KeySet, NewKeys, Role, authenticode, minisign, raspberry_pi, secure_boot};
use libfuzzer_sys::fuzz_target;
use std::error::Error;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const CONTROL: &[u8] = b"Package: a\nVersion: 1:2.0~rc1-3\nArchitecture: amd64\nMulti-Arch: same\n\
    Essential: yes\nReplaces: b (<< 2), c:any (>= 1)\nDescription: x\n y\n .\n z\n";

const STANZAS: &str = "Package: a\nVersion: 1:2.0~rc1-3\nArchitecture: amd64\nEssential: yes\n\
    Depends: b (>= 1) | c:any, d\nPre-Depends: e\nRecommends: f\nConflicts: g (<< 3)\n\
    Provides: h (= 1), i\nFilename: pool/a.deb\nSize: 7\nInstalled-Size: 9\n\
    Phased-Update-Percentage: 30\nSHA256: DIGEST\n\nPackage: b\nVersion: 10\nArchitecture: all\n\
    Source: bb (2)\nBreaks: a (= 0)\nMulti-Arch: foreign\nFilename: pool/b.deb\nSize: 1\n\
    SHA256: DIGEST\n\nPackage: e\nVersion: 1.2.3+dfsg-4ubuntu5\nArchitecture: amd64\n\
    Filename: pool/e.deb\nSize: 1\nSHA256: DIGEST\n\nPackage: d\nVersion: 0\n\
    Architecture: amd64\nDepends: a\nFilename: pool/d.deb\nSize: 1\nSHA256: DIGEST\n";

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

struct Corpus(PathBuf);

impl Corpus {
    fn add(&self, target: &str, name: &str, content: impl AsRef<[u8]>) {
        write(&self.0.join(target), name, content);
    }
}

fuzz_target!(
    init: seeds().expect("seeds can be written"),
    |_data: &[u8]| {}
);

fn seeds() -> Result {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = Corpus(here.join("corpus"));
    let project = here.join("../..");
    packages(&corpus)?;
    archives(&corpus, &project)?;
    for target in ["fat", "ext4", "gpt"] {
        changes(&corpus, target);
    }
    disks(&corpus)?;
    programs(&corpus)?;
    trees(&corpus);
    signatures(&corpus)?;
    texts(&corpus, &project)?;
    println!("{}", corpus.0.display());
    Ok(())
}

fn packages(corpus: &Corpus) -> Result {
    let long = "deep/".repeat(30) + "name";
    let link = format!("{long}\0");
    let pax = b"37 SCHILY.xattr.security.selinux=abc\n13 mtime=5.5\n20 path=usr/renamed\n";
    let data = tar(&[
        entry("./", b'5', "", b""),
        entry("./usr", b'5', "", b""),
        entry("./usr/a", b'0', "", b"contents"),
        entry("./usr/b", b'1', "./usr/a", b""),
        entry("./bin", b'2', "usr/bin", b""),
        entry("pax", b'x', "", pax),
        entry("./usr/c", b'0', "", b"c"),
        entry("././@LongLink", b'L', "", link.as_bytes()),
        entry("short", b'0', "", b""),
    ]);
    corpus.add("tar", "rich", &data);
    corpus.add("control", "rich", CONTROL);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&data)?;
    let mut xz = Vec::new();
    liblzma::read::XzEncoder::new(&data[..], 6).read_to_end(&mut xz)?;
    for (name, bytes) in [
        ("data.tar", data.clone()),
        ("data.tar.gz", gzip.finish()?),
        ("data.tar.xz", xz),
        ("data.tar.zst", zstd::encode_all(&data[..], 19)?),
    ] {
        let control = control(CONTROL);
        let members: [(&str, &[u8]); 3] = [
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control),
            (name, &bytes),
        ];
        corpus.add("deb", name, ar(&members));
    }
    Ok(())
}

fn archives(corpus: &Corpus, project: &Path) -> Result {
    let archive = Archive::new();
    let stanzas = STANZAS.replace("DIGEST", DIGEST);
    corpus.add("packages", "four", &stanzas);
    corpus.add("release", "one", archive.release("Packages.xz", b"x"));
    let text = "Origin: Debian\n- dashed\nfrom here\n\nSHA256:\n 00 1 a";
    corpus.add("signed_text", "good", archive.sign(text));
    let with_length = |key: &[u8], rest: &[u8]| {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        [&length.to_le_bytes(), key, rest].concat()
    };
    let signature = archive.signature("Origin: Debian");
    let good = with_length(&archive.packets(), &signature);
    corpus.add("openpgp", "good", good);
    for entry in fs::read_dir(project.join("keys/archive"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key = fs::read(&path)?;
        corpus.add("openpgp", &name, with_length(&key, &signature));
        let packets = fortress_fuzz::packets(&key);
        let binary = with_length(&packets, &signature);
        corpus.add("openpgp", &format!("{name}.binary"), binary);
    }
    let lock = format!(
        "format = 1\narchitecture = \"amd64\"\nbase = \"debian-13\"\nrequest = \"{DIGEST}\"\n\n\
         [[suite]]\nname = \"release\"\nsuite = \"trixie\"\ndate = \"2025-11-15T10:12:13Z\"\n\
         release_sha256 = \"{DIGEST}\"\n\n[[package]]\nname = \"a\"\nversion = \"1:2\"\n\
         architecture = \"amd64\"\nsource = \"release\"\nsource_package = \"a\"\n\
         source_version = \"2\"\nsection = \"libs\"\nsize = 7\nsha256 = \"{DIGEST}\"\n\
         path = \"pool/a.deb\"\n"
    );
    corpus.add("lock", "one", lock);
    Ok(())
}

/// Single changes, at places that are spread over the structure.
fn changes(corpus: &Corpus, target: &str) {
    corpus.add(target, "none", b"\x01");
    for number in 0..64u32 {
        let place = number.wrapping_mul(0x9e37_79b1) >> 8;
        let bytes = place.to_le_bytes();
        let change = [1, bytes[0], bytes[1], bytes[2], 4, number as u8, 0, 0, 0x80];
        let from = usize::from(target != "gpt");
        corpus.add(target, &format!("change-{number}"), &change[from..]);
    }
}

fn disks(corpus: &Corpus) -> Result {
    let kernel = [&[0; 56][..], b"ARM\x64", &[7; 600]].concat();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&kernel)?;
    let packed = gzip.finish()?;
    let config = b"[pi4]\nkernel=none\n[pi5]\nkernel=kernel8.img\n[all]\ninitramfs initrd \
        followkernel\ndevice_tree=tree.dtb\ndtoverlay=a,b=c\n";
    let plain = boot_disk(&[
        (b"CONFIG  TXT", config),
        (b"CMDLINE TXT", b"console=ttyAMA10 ro\n"),
        (b"KERNEL8 IMG", &packed),
        (b"INITRD     ", b"an initrd"),
        (b"TREE    DTB", b"a device tree"),
        (b"START4  ELF", b"firmware"),
        (b"FIXUP4  DAT", b"firmware"),
    ]);
    corpus.add("raspberry_pi", "plain", &plain);
    // What stands in a partition can stand in boot.img.
    let chosen = boot_disk(&[
        (
            b"AUTOBOOTTXT",
            b"[all]\ntryboot_a_b=1\nboot_partition=1\n[tryboot]\nboot_partition=2\n",
        ),
        (b"CONFIG  TXT", b"boot_ramdisk=1\n"),
        (b"BOOT    IMG", &plain[4096..4096 + 8192]),
        (b"START4  ELF", b"firmware"),
    ]);
    corpus.add("raspberry_pi", "boot-image", chosen);

    let mut image = tempfile::tempfile()?;
    let (data, hash) = (Region::new(0, 8 * 4096), Region::new(8 * 4096, 8 * 4096));
    image.write_all(&vec![7; data.length as usize])?;
    image.set_len(hash.end())?;
    let options = VerityOptions {
        uuid: Uuid::from_u128(7),
        salt: [7; 32],
    };
    verity::format(&image, data, hash, &options)?;
    let mut bytes = Vec::new();
    image.seek(SeekFrom::Start(hash.offset))?;
    image.read_to_end(&mut bytes)?;
    corpus.add("verity", "good", bytes);
    Ok(())
}

fn programs(corpus: &Corpus) -> Result {
    let program = efi_program();
    corpus.add("pe", "unsigned", &program);
    let read = signature::examine(&mut &program[..])??;
    let mut signed = Vec::new();
    read.attachment(&[0x30, 0])?
        .copy(&mut &program[..], &mut signed)?;
    corpus.add("pe", "signed", signed);
    // Some small program of this machine.
    for name in ["/usr/bin/true", "/usr/lib/x86_64-linux-gnu/libdl.so.2"] {
        if let Ok(bytes) = fs::read(name)
            && bytes.len() <= 64 << 10
        {
            corpus.add("elf", name.rsplit('/').next().unwrap_or(name), bytes);
        }
    }
    Ok(())
}

fn trees(corpus: &Corpus) {
    let node = |name: &str, children| Node {
        name: name.into(),
        properties: vec![("compatible".into(), b"a,b\0".to_vec())],
        children,
    };
    let mut one = DeviceTree {
        root: node("", vec![node("soc", vec![node("serial@7d001000", vec![])])]),
        reservations: vec![(1, 2)],
        boot_processor: 0,
    };
    let first = one.to_bytes();
    one.root.children.push(node("more", vec![]));
    let length = u16::try_from(first.len()).unwrap_or(u16::MAX);
    let both = [&length.to_le_bytes()[..], &first, &one.to_bytes()].concat();
    corpus.add("device_tree", "two", both);
}

fn signatures(corpus: &Corpus) -> Result {
    let folder = folder();
    let new = NewKeys {
        owner: "Fuzz".into(),
        passphrase: None,
    };
    let keys = KeySet::generate(&folder.path().join("keys"), &new)?;
    let no_passphrase = || Err(fortress_trust::Error::NoHome);
    let signer = keys.signer(&no_passphrase, &Silent)?;
    let (public, digest) = (keys.public(), [7; 32]);
    let value = PhaseValue {
        phase: "enter-initrd".into(),
        value: digest,
    };
    let enrolment = secure_boot::enrolment(public, &signer, 1_700_000_000, true)?;
    for (name, signature) in [
        (
            "authenticode",
            authenticode::sign(public, &signer, "a", &digest)?,
        ),
        (
            "verity",
            fortress_trust::verity::sign(public, &signer, "a", &digest)?,
        ),
        (
            "pcr",
            pcr::sign(public, &signer, "a", &[value])?.into_bytes(),
        ),
        (
            "raspberry-pi",
            raspberry_pi::sign(public, &signer, "a", &digest, 7)?.into_bytes(),
        ),
        (
            "minisign",
            minisign::sign(public, &signer, "a", b"", "comment")?.into_bytes(),
        ),
        ("pk", enrolment.pk),
        ("db", enrolment.db),
    ] {
        corpus.add("signatures", name, signature);
    }
    let certificate = public.certificate(Role::Db)?;
    let key = public.key(Role::Manifest)?;
    corpus.add("keys", "certificate.der", certificate.der());
    corpus.add("keys", "certificate.pem", certificate.pem()?);
    corpus.add("keys", "ed25519.pem", key.pem()?);
    corpus.add("keys", "rsa.der", public.key(Role::Db)?.der()?);
    let minisign = minisign::public_key_file(public.ed25519()?);
    corpus.add("keys", "minisign.pub", minisign);
    let settings = fs::read_to_string(keys.folder().join("keys.toml"))?;
    let set = [settings, public.key(Role::Db)?.pem()?, certificate.pem()?];
    corpus.add("keys", "set", set.join("\0"));
    Ok(())
}

fn texts(corpus: &Corpus, project: &Path) -> Result {
    let read = |name: &str| fs::read_to_string(project.join(name));
    for (board, recipe, base) in [
        ("x86", "host", "debian-13"),
        ("pi5", "pi", "ubuntu-24.04"),
        ("pi4", "common", "debian-13"),
    ] {
        let site = "[system]\nhostname = \"attic\"\n";
        let parts = [
            read(&format!("boards/{board}.toml"))?,
            read(&format!("recipes/{recipe}.toml"))?,
            read(&format!("recipes/bases/{base}.toml"))?,
            site.into(),
            "kernel.command-line=[\"quiet\"]".into(),
        ];
        corpus.add("recipe", board, parts.join("\0"));
    }
    // Of images that were built here.
    for entry in fs::read_dir(project.join("output")).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".manifest.json") || name.ends_with(".signatures.json") {
            corpus.add("manifest", &name, fs::read(&path)?);
        }
    }
    corpus.add("manifest", "empty", "{\"format\":1,\"signatures\":[]}");
    corpus.add("manifest", "none", "{\"format\":1,\"requests\":[]}");
    let health = read("docs/health.md")?;
    let example = health.split("```").nth(1).unwrap_or_default();
    let example = example.trim_start_matches("json").replace('\n', "");
    corpus.add("health", "example", example);
    let line = "Kernel panic - not syncing: VFS: Unable to mount root fs";
    corpus.add("health", "panic", line);
    let files = [
        "u! a 12:b \"A\" /var/lib/a /bin/sh\ng b 7\nm a b\nr - 5-9\n",
        "d /etc/a 0750 a b -\nf+! /etc/f ~:0640 :a - - two\\nlines\nL /etc/l - - - - ../usr\n\
         C /etc/c\nz /etc/* 0600\nd= /opt/a\n",
        "[Unit]\nDescription=a\n[Service]\nExecStart=/bin/a\n[Install]\nWantedBy=multi-user.target\n\
         Alias=b.service\nAlso=c.service\n",
        "enable a.service\ndisable *\n",
        "evdev:input:b0003v046D*\n KEYBOARD_KEY_1=a\n\nusb:*\n ID_A=b\n",
        "-- 0123456789abcdef0123456789abcdef de\nSubject: a\nDefined-By: b\n\nText @A@\n",
        "/bin/sh\n",
        "Name: a\nDefault: yes\nPriority: 256\nAuth-Type: Primary\nAuth:\n\t[success=end \
         default=ignore]\tpam_a.so\n",
        "",
        "include /etc/ld.so.conf.d/*.conf\n/opt/lib\n",
        "<schemalist><schema id=\"a\" path=\"/a/\"><key name=\"b\" type=\"b\"><default>true</default>\
         </key></schema></schemalist>",
        "[Service]\nExecStart=\n",
    ];
    corpus.add("configuration", "all", files.join("\0"));
    Ok(())
}
