//! The bench image, built as a user builds it and judged by the field's own tools.

use fortress_tests::{
    BENCH_IMAGE, BENCH_MANIFEST, Oracle, Program, bench_arguments, bench_lock, bench_names, names,
    public_halves, target_folder, test_keys, tool,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The image, and what of it was taken apart; all of it in the oracle root's /tmp.
struct Image {
    oracle: Oracle,
    folder: PathBuf,
    manifest: Value,
}

/// Built once for all tests of this file.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let oracle = Oracle::open();
        let folder = oracle.root().join("tmp/end-to-end-image");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Program::new(&bench_arguments(&folder)).run().success();
        assert_eq!(names(&folder), bench_names());
        let manifest = fs::read(folder.join(BENCH_MANIFEST)).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let image = File::open(folder.join(BENCH_IMAGE)).unwrap();
        let partitions = manifest["partitions"].as_array().unwrap();
        for (name, partition) in ["esp", "root", "verity", "signature"]
            .iter()
            .zip(partitions)
        {
            let (offset, length) = region(partition);
            let mut image = &image;
            image.seek(SeekFrom::Start(offset)).unwrap();
            let mut file = File::create(folder.join(name)).unwrap();
            io::copy(&mut image.take(length), &mut file).unwrap();
        }
        let image = Image {
            oracle,
            folder,
            manifest,
        };
        fs::create_dir(image.path("tree")).unwrap();
        let dump = format!("rdump / {}", image.path("tree").display());
        let root = image.path("root");
        tool("debugfs", &["-R", &dump, root.to_str().unwrap()]);
        let (esp, uki) = (image.path("esp"), image.path("uki"));
        let (esp, uki) = (esp.to_str().unwrap(), uki.to_str().unwrap());
        tool("mcopy", &["-i", esp, "::/EFI/Linux/bench_1+3.efi", uki]);
        image
    })
}

impl Image {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn inside(&self, name: &str) -> String {
        self.oracle.inside(&self.path(name))
    }

    fn text(&self, key: &str) -> &str {
        self.manifest[key].as_str().unwrap()
    }

    fn partitions(&self) -> &[Value] {
        self.manifest["partitions"].as_array().unwrap()
    }

    /// A section of the unified kernel image.
    fn section(&self, name: &str) -> Vec<u8> {
        let path = self.path(&format!("section{name}"));
        let only = format!("--only-section={name}");
        let uki = self.path("uki");
        let (uki, to) = (uki.to_str().unwrap(), path.to_str().unwrap());
        tool("objcopy", &["-O", "binary", &only, uki, to]);
        fs::read(path).unwrap()
    }
}

fn region(partition: &Value) -> (u64, u64) {
    let number = |key: &str| partition[key].as_u64().unwrap();
    (number("offset"), number("length"))
}

fn sha256(file: &File, offset: u64, length: u64) -> String {
    let mut file = file;
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut hasher = Sha256::new();
    assert_eq!(
        io::copy(&mut file.take(length), &mut hasher).unwrap(),
        length
    );
    hexadecimal(&hasher.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_zero(file: &File, offset: u64, length: u64) -> bool {
    let mut buffer = vec![0; 1 << 20];
    let mut at = offset;
    while at < offset + length {
        let size = buffer.len().min((offset + length - at) as usize);
        file.read_exact_at(&mut buffer[..size], at).unwrap();
        if buffer[..size].iter().any(|byte| *byte != 0) {
            return false;
        }
        at += size as u64;
    }
    true
}

#[test]
fn partition_tools_find_no_fault() {
    let image = image();
    let path = image.inside(BENCH_IMAGE);
    let said = image.oracle.run(&["sgdisk", "--verify", &path]).success();
    assert!(said.contains("No problems found."), "{said}");
    let said = image.oracle.run(&["sfdisk", "--verify", &path]).success();
    assert!(said.contains("No errors detected."), "{said}");
    let said = image
        .oracle
        .run(&["systemd-dissect", "--validate", &path])
        .success();
    assert_eq!(said.trim(), "OK");
    // Whoever takes only a root with a signature takes this one.
    let signed = [
        "systemd-dissect",
        "--validate",
        "--image-policy=root=signed:=ignore",
        &path,
    ];
    assert_eq!(image.oracle.run(&signed).success().trim(), "OK");
}

#[test]
fn the_table_is_what_the_manifest_says() {
    let image = image();
    let path = image.inside(BENCH_IMAGE);
    let table = image.oracle.run(&["sfdisk", "--json", &path]).success();
    let table: Value = serde_json::from_str(&table).unwrap();
    let table = &table["partitiontable"];
    let guid = image.manifest["image"]["guid"].as_str().unwrap();
    assert_eq!(table["id"], guid.to_uppercase());
    assert_eq!(table["sectorsize"], 512);
    let rows = table["partitions"].as_array().unwrap();
    assert_eq!(rows.len(), image.partitions().len());
    for (row, partition) in rows.iter().zip(image.partitions()) {
        let upper = |key: &str| partition[key].as_str().unwrap().to_uppercase();
        let (offset, length) = region(partition);
        assert_eq!(row["start"], offset / 512);
        assert_eq!(row["size"], length / 512);
        assert_eq!(row["type"], upper("kind"));
        assert_eq!(row["uuid"], upper("guid"));
        assert_eq!(row["name"], partition["label"]);
    }
    // Slot B waits to be filled: nothing may mount it of its own accord.
    let attributes: Vec<_> = rows.iter().map(|row| row["attrs"].as_str()).collect();
    let (read_only, waiting) = (Some("GUID:60"), Some("GUID:60,63"));
    assert_eq!(
        attributes,
        [
            None, read_only, read_only, read_only, waiting, waiting, waiting
        ]
    );
    let is_empty = |row: &&Value| row["name"] == "_empty";
    assert_eq!(rows.iter().filter(is_empty).count(), 3);
    // The two halves of the root hash name root and hash tree.
    let guids = [&rows[1]["uuid"], &rows[2]["uuid"]];
    let guids = guids.map(|guid| guid.as_str().unwrap().replace('-', "").to_lowercase());
    assert_eq!(guids.concat(), image.text("root_hash"));
}

#[test]
fn every_byte_is_what_the_manifest_says() {
    let image = image();
    let file = File::open(image.path(BENCH_IMAGE)).unwrap();
    let facts = &image.manifest["image"];
    let length = file.metadata().unwrap().len();
    assert_eq!(facts["length"], length);
    assert_eq!(facts["file"], BENCH_IMAGE);
    let mut end = region(&image.partitions()[0]).0;
    assert_eq!(facts["head_sha256"], sha256(&file, 0, end));
    for partition in image.partitions() {
        let (offset, length) = region(partition);
        assert!(
            is_zero(&file, end, offset - end),
            "the gap before {partition}"
        );
        end = offset + length;
        match partition["covered"].as_str().unwrap() {
            "digest" => {
                let data = partition["data_length"].as_u64().unwrap();
                assert_eq!(partition["sha256"], sha256(&file, offset, data));
                // It ends with a page that is not zeros, and only zeros follow.
                assert!(!is_zero(&file, offset + data - 4096, 4096), "{partition}");
                assert!(is_zero(&file, offset + data, length - data), "{partition}");
            }
            "empty" => assert!(is_zero(&file, offset, length), "{partition}"),
            // dm-verity's own tool reads that one.
            other => assert_eq!(other, "root-hash"),
        }
    }
    assert_eq!(facts["tail_sha256"], sha256(&file, end, length - end));
    let allocated = file.metadata().unwrap().blocks() * 512;
    assert!(
        allocated < length / 2,
        "{allocated} of {length}: not sparse"
    );
}

#[test]
fn the_root_is_sound_and_verified() {
    let image = image();
    let (root, verity) = (image.path("root"), image.path("verity"));
    let (root, verity) = (root.to_str().unwrap(), verity.to_str().unwrap());
    tool("e2fsck", &["-fn", root]);
    let superblock = tool("dumpe2fs", &["-h", root]);
    for line in [
        "Block size:               4096",
        "Filesystem state:         clean",
        "Filesystem volume name:   root",
    ] {
        assert!(superblock.contains(line), "{line}: {superblock}");
    }
    let root_hash = image.text("root_hash");
    tool("veritysetup", &["verify", root, verity, root_hash]);
    // That tool does say no.
    let changed = image.path("changed");
    fs::copy(root, &changed).unwrap();
    let file = File::options()
        .read(true)
        .write(true)
        .open(&changed)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 1024).unwrap();
    file.write_all_at(&[!byte[0]], 1024).unwrap();
    let refused = Command::new("veritysetup")
        .args(["verify", changed.to_str().unwrap(), verity, root_hash])
        .output()
        .unwrap();
    fs::remove_file(changed).unwrap();
    assert!(!refused.status.success());
}

#[test]
fn the_efi_system_partition_holds_what_boots() {
    let image = image();
    let esp = image.path("esp");
    let esp = esp.to_str().unwrap();
    tool("fsck.fat", &["-n", esp]);
    let list = tool("mdir", &["-/", "-b", "-i", esp, "::"]);
    let files: BTreeSet<&str> = list.lines().filter(|line| !line.ends_with('/')).collect();
    let expected = [
        "::/EFI/BOOT/BOOTX64.EFI",
        "::/EFI/Linux/bench_1+3.efi",
        "::/EFI/systemd/systemd-bootx64.efi",
        "::/loader/entries.srel",
        "::/loader/keys/auto/KEK.auth",
        "::/loader/keys/auto/PK.auth",
        "::/loader/keys/auto/db.auth",
        "::/loader/loader.conf",
    ];
    assert_eq!(files, BTreeSet::from(expected));
    let loader = tool("mtype", &["-i", esp, "::/loader/loader.conf"]);
    assert!(loader.contains("editor no\n"), "{loader}");
    assert!(loader.contains("secure-boot-enroll if-safe\n"), "{loader}");
}

#[test]
fn every_program_is_signed_and_nothing_else_of_it_is_changed() {
    let image = image();
    let esp = image.path("esp");
    let esp = esp.to_str().unwrap();
    let certificate = test_keys().join("db.crt");
    let certificate = certificate.to_str().unwrap();
    let shipped = image.path("tree/usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    let shipped = fs::read(shipped).unwrap();
    let programs = image.manifest["boot"]["programs"].as_array().unwrap();
    let mut loaders = 0;
    for program in programs {
        let name = program["path"].as_str().unwrap();
        let signed = image.path("program.efi");
        let signed = signed.to_str().unwrap();
        tool(
            "mcopy",
            &["-n", "-o", "-i", esp, &format!("::/{name}"), signed],
        );
        tool("sbverify", &["--cert", certificate, signed]);
        let bytes = fs::read(signed).unwrap();
        assert_eq!(
            program["sha256"],
            hexadecimal(&Sha256::digest(&bytes)),
            "{name}"
        );
        tool("sbattach", &["--remove", signed]);
        if name.contains("Linux") {
            continue;
        }
        // sbattach gives programs a checksum, which nobody asks for; the format has it 64 bytes into
        // the optional header.
        let mut bytes = fs::read(signed).unwrap();
        let header = u32::from_le_bytes(bytes[0x3c..0x40].try_into().unwrap()) as usize;
        let checksum = header + 24 + 64;
        bytes[checksum..checksum + 4].copy_from_slice(&shipped[checksum..checksum + 4]);
        assert!(bytes == shipped, "{name}");
        loaders += 1;
    }
    assert_eq!(loaders, 2);
    assert_eq!(programs.len(), 3);
}

#[test]
fn the_root_hash_is_signed_as_systemd_wants_it() {
    let image = image();
    let partition = fs::read(image.path("signature")).unwrap();
    let end = partition.iter().position(|byte| *byte == 0).unwrap();
    assert!(partition[end..].iter().all(|byte| *byte == 0));
    let json: Value = serde_json::from_slice(&partition[..end]).unwrap();
    assert_eq!(json["rootHash"], image.text("root_hash"));
    // What is signed are the digits.
    for (name, text) in [
        ("signature.pem", json["signature"].as_str().unwrap()),
        ("root-hash", image.text("root_hash")),
    ] {
        let text = match name {
            "root-hash" => text.to_owned(),
            _ => format!("-----BEGIN PKCS7-----\n{text}\n-----END PKCS7-----\n"),
        };
        fs::write(image.path(name), text).unwrap();
    }
    let at = |name: &str| image.path(name).to_str().unwrap().to_owned();
    let certificate = test_keys().join("verity.crt");
    let certificate = certificate.to_str().unwrap();
    let verify = |content: &str| {
        let arguments = [
            "cms",
            "-verify",
            "-binary",
            "-inform",
            "PEM",
            "-in",
            &at("signature.pem"),
            "-content",
            &at(content),
            "-certfile",
            certificate,
            "-nointern",
            "-noverify",
            "-out",
            "/dev/null",
        ]
        .map(str::to_owned);
        Command::new("openssl").args(arguments).output().unwrap()
    };
    let ran = verify("root-hash");
    assert!(ran.status.success(), "{ran:?}");
    fs::write(image.path("another"), "00".repeat(32)).unwrap();
    assert!(!verify("another").status.success());
}

#[test]
fn the_documents_are_signed_and_checksums_fit() {
    let image = image();
    let stem = BENCH_IMAGE.strip_suffix(".img").unwrap();
    let halves = public_halves(test_keys());
    let key = halves.path().join("minisign.pub");
    let key = key.to_str().unwrap();
    for ending in ["manifest.json", "spdx.json", "sha256"] {
        let document = image.path(&format!("{stem}.{ending}"));
        let document = document.to_str().unwrap();
        let said = tool("minisign", &["-V", "-p", key, "-m", document]);
        assert!(said.contains(&format!("file:{stem}.{ending}")), "{said}");
    }
    let ran = Command::new("sha256sum")
        .args(["--check", "--strict", &format!("{stem}.sha256")])
        .current_dir(&image.folder)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(said.matches(": OK\n").count(), 2, "{said}");
}

#[test]
fn the_bill_of_materials_has_every_package() {
    let image = image();
    let stem = BENCH_IMAGE.strip_suffix(".img").unwrap();
    let text = fs::read(image.path(&format!("{stem}.spdx.json"))).unwrap();
    let bill: Value = serde_json::from_slice(&text).unwrap();
    // What SPDX 2.3 demands of a document (sections 6, 7 and 11).
    for (key, value) in [
        ("spdxVersion", "SPDX-2.3"),
        ("dataLicense", "CC0-1.0"),
        ("SPDXID", "SPDXRef-DOCUMENT"),
        ("name", stem),
    ] {
        assert_eq!(bill[key], value);
    }
    let namespace = bill["documentNamespace"].as_str().unwrap();
    assert!(
        namespace.starts_with("https://") && !namespace.contains('#'),
        "{namespace}"
    );
    let epoch = image.manifest["source_date_epoch"].to_string();
    let time = tool("date", &["-u", "-d", &format!("@{epoch}"), "+%FT%TZ"]);
    assert_eq!(bill["creationInfo"]["created"], time.trim());
    let packages = bill["packages"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for package in packages {
        let id = package["SPDXID"].as_str().unwrap();
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        assert!(id.strip_prefix("SPDXRef-").unwrap().chars().all(allowed));
        assert!(ids.insert(id), "{id} is there twice");
        for key in [
            "name",
            "versionInfo",
            "downloadLocation",
            "licenseConcluded",
        ] {
            assert!(!package[key].as_str().unwrap().is_empty(), "{package}");
        }
        assert_eq!(package["filesAnalyzed"], false);
    }
    let mut listed: Vec<String> = packages[1..]
        .iter()
        .map(|package| {
            let url = &package["externalRefs"][0]["referenceLocator"];
            let url = url
                .as_str()
                .unwrap()
                .strip_prefix("pkg:deb/debian/")
                .unwrap();
            let (name, rest) = url.split_once('@').unwrap();
            let (version, rest) = rest.split_once("?arch=").unwrap();
            let architecture = rest.strip_suffix("&distro=trixie").unwrap();
            [name, version, architecture].join(" ").replace("%2B", "+")
        })
        .collect();
    listed.sort();
    assert_eq!(listed, locked());
    let relations = bill["relationships"].as_array().unwrap();
    let of = |kind: &str| {
        let kinds = relations
            .iter()
            .map(|relation| &relation["relationshipType"]);
        kinds.filter(|found| *found == kind).count()
    };
    assert_eq!((of("DESCRIBES"), of("CONTAINS")), (1, packages.len() - 1));
    for relation in relations {
        let to = relation["relatedSpdxElement"].as_str().unwrap();
        assert!(ids.contains(to), "{relation}");
    }
}

#[test]
fn the_unified_kernel_image_names_the_root_hash() {
    let image = image();
    let uki = image.inside("uki");
    let kind = image.oracle.run(&["bootctl", "kernel-identify", &uki]);
    assert_eq!(kind.success().trim(), "uki");
    let sections = image
        .oracle
        .run(&["ukify", "inspect", &uki, "--json=short"])
        .success();
    let sections: Value = serde_json::from_str(&sections).unwrap();
    let text = |name: &str| sections[name]["text"].as_str().unwrap();
    let root_hash = format!("roothash={}", image.text("root_hash"));
    assert!(
        text(".cmdline")
            .split(' ')
            .any(|word| word == root_hash.as_str()),
        "{}",
        text(".cmdline")
    );
    assert_eq!(text(".cmdline"), image.text("command_line"));
    assert_eq!(text(".uname"), image.text("kernel"));
    let os_release = fs::read_to_string(image.path("tree/usr/lib/os-release")).unwrap();
    assert_eq!(text(".osrel"), os_release);
    assert!(os_release.ends_with("IMAGE_ID=bench\nIMAGE_VERSION=1\n"));
    assert!(text(".sbat").starts_with("sbat,1,"));
    // The kernel is the one of the locked package, to the byte.
    let packages = image.manifest["packages"].as_array().unwrap();
    let name = format!("linux-image-{}", image.text("kernel"));
    let package = packages.iter().find(|one| one["name"] == name).unwrap();
    let digest = package["sha256"].as_str().unwrap();
    let blobs = target_folder().join("test-store/blobs");
    let deb = blobs.join(&digest[..2]).join(digest);
    let script = r#"dpkg-deb --fsys-tarfile "$0" | tar -xO "./boot/vmlinuz-$1" | sha256sum"#;
    let (deb, release) = (deb.to_str().unwrap(), image.text("kernel"));
    let shipped = tool("sh", &["-euc", script, deb, release]);
    assert_eq!(sections[".linux"]["sha256"], shipped[..64]);
}

#[test]
fn the_initrd_holds_what_the_root_needs() {
    let image = image();
    let section = image.section(".initrd");
    // Two archives: one that is the same for every owner, and a small one with what is the owner's,
    // where the kernel looks for a second one.
    let tail = section.len() - 8192;
    let magic = section[tail..].windows(6).position(|one| one == b"070701");
    let (common, owners) = section.split_at(tail + magic.unwrap());
    assert_eq!(common.len() % 4, 0);
    fs::write(image.path("initrd.owner"), owners).unwrap();
    let file = image.path("initrd.owner");
    let extract = [
        "--extract",
        "--quiet",
        "--to-stdout",
        "--file",
        file.to_str().unwrap(),
        "usr/lib/verity.d/fortress.crt",
    ];
    let certificate = tool("cpio", &extract);
    let kept = fs::read_to_string(test_keys().join("verity.crt")).unwrap();
    assert_eq!(certificate, kept);
    let padding = common.iter().rev().take_while(|byte| **byte == 0).count();
    // The kernel skips up to three zeros; one that is zstd's own does no harm where it is.
    let ends = (0..=padding.min(3)).rev().map(|zeros| common.len() - zeros);
    let found = ends.into_iter().find(|end| {
        fs::write(image.path("initrd.zst"), &common[..*end]).unwrap();
        let path = image.path("initrd.zst");
        let ran = Command::new("zstd").arg("-tq").arg(path).output().unwrap();
        ran.status.success()
    });
    assert!(found.is_some(), "it is no zstd");
    let (packed, plain) = (image.path("initrd.zst"), image.path("initrd"));
    let (packed, plain) = (packed.to_str().unwrap(), plain.to_str().unwrap());
    tool("zstd", &["-dqf", packed, "-o", plain]);
    let list = tool("cpio", &["-itv", "--quiet", "--file", plain]);
    // Whatever the machine that built it, all of it is root's.
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[2..4], ["root", "root"], "{line}");
    }
    let release = image.text("kernel");
    for needed in [
        " init -> usr/lib/systemd/systemd",
        " usr/lib/systemd/systemd-veritysetup",
        " etc/initrd-release",
        &format!(" usr/lib/modules/{release}/kernel/drivers/md/dm-verity.ko"),
        &format!(" usr/lib/modules/{release}/kernel/drivers/block/virtio_blk.ko"),
        &format!(" usr/lib/modules/{release}/modules.dep.bin"),
    ] {
        assert!(list.lines().any(|line| line.ends_with(needed)), "{needed}");
    }
    // No more than that: the root has thousands of modules.
    let modules = list.lines().filter(|line| line.ends_with(".ko")).count();
    assert!(modules < 30, "{modules} modules");
}

/// `name version architecture` of the locked packages.
fn locked() -> Vec<String> {
    let lock = fs::read_to_string(bench_lock()).unwrap();
    let packages = lock.split("[[package]]\n").skip(1).map(|table| {
        let value = |key: &str| {
            let start = format!("{key} = \"");
            let found = table.lines().find_map(|line| line.strip_prefix(&start));
            found.unwrap().trim_end_matches('"').to_owned()
        };
        ["name", "version", "architecture"].map(value).join(" ")
    });
    let mut packages: Vec<String> = packages.collect();
    packages.sort();
    packages
}

#[test]
fn dpkg_sees_the_locked_packages_whole() {
    let image = image();
    let packages = image.manifest["packages"].as_array().unwrap();
    let mut named: Vec<String> = packages
        .iter()
        .map(|package| {
            let keys = ["name", "version", "architecture"];
            keys.map(|key| package[key].as_str().unwrap()).join(" ")
        })
        .collect();
    named.sort();
    assert_eq!(named, locked());

    // /var is made at boot, by this tool.
    let tree = image.inside("tree");
    let root = format!("--root={tree}");
    let made = ["systemd-tmpfiles", &root, "--create"];
    image.oracle.run_with_proc(&made).success();
    let listed = image.oracle.run(&["dpkg", &root, "-l", "*"]).success();
    let listed = listed.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.get(1)?.split(':').next()?;
        (words[0] == "ii").then(|| [name, words[2], words[3]].join(" "))
    });
    let mut listed: Vec<String> = listed.collect();
    listed.sort();
    assert_eq!(listed, named);

    assert_eq!(image.oracle.run(&["dpkg", &root, "--audit"]).success(), "");
    let verified = image.oracle.run(&["dpkg", &root, "--verify"]).success();
    let release = image.text("kernel");
    let expected = [
        // They boot from the EFI system partition.
        format!("missing     /boot/System.map-{release}"),
        format!("missing     /boot/config-{release}"),
        format!("missing     /boot/vmlinuz-{release}"),
        // The image's name and version are in it.
        "??5??????   /usr/lib/os-release".to_owned(),
    ];
    let lines: Vec<&str> = verified.lines().collect();
    assert_eq!(lines, expected);
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let image = image();
    let root = format!("--root={}", image.inside("tree"));
    let verify = ["systemd-analyze", &root, "--man=no", "verify"];
    for target in ["default.target", "basic.target", "systemd-networkd.service"] {
        let outcome = image
            .oracle
            .run_with_proc(&[verify.as_slice(), &[target]].concat());
        assert_eq!(
            (outcome.status, outcome.errors.as_str()),
            (0, ""),
            "{target}"
        );
    }
    // Every unit that a target pulls in is there.
    let broken = |path: &Path| !path.exists();
    let system = image.path("tree/etc/systemd/system");
    for folder in names(&system) {
        if folder.ends_with(".wants") {
            for unit in names(&system.join(&folder)) {
                let link = fs::read_link(system.join(&folder).join(&unit)).unwrap();
                let unit = image.path("tree").join(link.strip_prefix("/").unwrap());
                // A template's instance is its template.
                assert!(!broken(&unit), "{folder}: {}", unit.display());
            }
        }
    }
}

#[test]
fn nobody_logs_in_and_nothing_was_drawn_at_random() {
    let image = image();
    let shadow = fs::read_to_string(image.path("tree/etc/shadow")).unwrap();
    for line in shadow.lines() {
        let password = line.split(':').nth(1).unwrap();
        assert!(password.starts_with(['!', '*']), "{line}");
    }
    let machine = fs::read_to_string(image.path("tree/etc/machine-id")).unwrap();
    assert!(
        machine.is_empty() || machine == "uninitialized\n",
        "{machine}"
    );
    let keys = names(&image.path("tree/etc/ssh"));
    assert!(!keys.iter().any(|name| name.contains("key")), "{keys:?}");
    assert_eq!(names(&image.path("tree/etc/wireguard")), [""; 0]);
    // As written, not as tmpfiles.d makes it: the machine's state begins empty.
    let root = image.path("root");
    let list = tool("debugfs", &["-R", "ls -p /var", root.to_str().unwrap()]);
    let names = list.lines().filter_map(|line| line.split('/').nth(5));
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    assert_eq!(names, [".", ".."]);
}
