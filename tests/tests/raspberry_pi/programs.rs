//! The commands around the image: the same bytes again, signatures made later, refusals, `verify`.

use crate::fixture::{arguments, folder, pi4, pi5, region, sha256};
use fortress_tests::{
    Program, ProjectCopy, names, public_halves, strangers_keys, target_folder, test_keys, tool,
};
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

#[test]
fn the_same_bytes_on_one_core_in_another_time_zone() {
    let (output, reference) = (folder(), pi5());
    let store = target_folder().join("test-store");
    Program::under(
        &["taskset", "-c", "0"],
        &arguments("pi5", output.path(), &[]),
    )
    .bare()
    .variable("FORTRESS_STORE", &store)
    .variable("FORTRESS_KEYS", test_keys())
    .variable("TZ", "Pacific/Kiritimati")
    .variable("RAYON_NUM_THREADS", "1")
    .run()
    .success();
    for name in names(output.path()) {
        let (one, other) = (output.path().join(&name), reference.path(&name));
        assert_eq!(sha256(&one), sha256(&other), "{name}");
    }
}

#[test]
fn signing_later_gives_what_signing_at_once_gives() {
    let (output, reference) = (folder(), pi5());
    let public = public_halves(test_keys());
    Program::new(&arguments("pi5", output.path(), &["--sign", "later"]))
        .variable("FORTRESS_KEYS", public.path())
        .run()
        .success();
    let image = output.path().join(format!("{}.img", reference.stem));
    assert_ne!(sha256(&image), sha256(&reference.image()));
    Program::new(&["sign", image.to_str().unwrap()])
        .run()
        .success();
    assert_eq!(sha256(&image), sha256(&reference.image()));
    // A stranger's image differs in what a stranger signed, and in nothing else.
    let keys = strangers_keys();
    let strange = folder();
    Program::new(&arguments("pi5", strange.path(), &[]))
        .variable("FORTRESS_KEYS", keys.path())
        .run()
        .success();
    let manifest = strange
        .path()
        .join(format!("{}.manifest.json", reference.stem));
    let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    let different: Vec<&str> = manifest["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .zip(reference.partitions())
        .filter(|(one, other)| one["sha256"] != other["sha256"])
        .map(|(one, _)| one["label"].as_str().unwrap())
        .collect();
    assert_eq!(different, ["boot_a"]);
    assert_eq!(manifest["boot"], reference.manifest["boot"]);
    assert_eq!(manifest["root_hash"], reference.manifest["root_hash"]);
}

/// What a build of a changed project says, that leaves nothing behind.
#[track_caller]
fn refusal(project: &ProjectCopy, more: &[&str], code: i32) -> String {
    let output = folder();
    let refused = Program::new(&arguments("pi5", output.path(), more))
        .variable("FORTRESS_PROJECT", project.path())
        .run()
        .refusal(code);
    assert_eq!(names(output.path()), <[&str; 0]>::default());
    refused
}

#[test]
fn what_could_not_start_is_refused_with_the_reason() {
    pi5();
    let copy = ProjectCopy::new();
    copy.replace(
        "boards/pi5.toml",
        "boot-image-limit = \"96M\"",
        "boot-image-limit = \"16M\"",
    );
    let text = refusal(&copy, &[], 3);
    assert!(
        text.contains("boot.img has ") && text.contains("16777216"),
        "{text}"
    );

    let copy = ProjectCopy::new();
    let trees = "device-trees = [\"bcm2712-rpi-5-b.dtb\"]";
    copy.replace(
        "boards/pi5.toml",
        trees,
        "device-trees = [\"bcm2799-rpi-9.dtb\"]",
    );
    let text = refusal(&copy, &[], 3);
    assert!(
        text.contains("bcm2799-rpi-9.dtb") && text.contains("device tree"),
        "{text}"
    );

    for line in ["device_tree=other.dtb", "dtoverlay=disable-bt"] {
        let copy = ProjectCopy::new();
        let config = format!("config = [\"{line}\"]");
        copy.replace("boards/pi5.toml", "config = [\"enable_uart=1\"]", &config);
        let text = refusal(&copy, &[], 3);
        assert!(text.contains(line), "{text}");
    }

    let copy = ProjectCopy::new();
    copy.replace("boards/pi5.toml", "\"rp1_pci\"", "\"rp1_pcie\"");
    let text = refusal(&copy, &[], 3);
    assert!(
        text.contains("rp1_pcie") && text.contains("rp1_pci"),
        "{text}"
    );

    let copy = ProjectCopy::new();
    let text = refusal(&copy, &["--set", "kernel.page-size=16K"], 3);
    assert!(
        text.contains("pages of 4K") && text.contains("16K"),
        "{text}"
    );

    let text = refusal(&copy, &["--set", "var.encrypt=tpm2"], 3);
    assert!(text.contains("no TPM"), "{text}");
}

#[test]
fn verification_covers_what_a_raspberry_pi_starts_from() {
    for image in [pi5(), pi4()] {
        let path = image.image();
        let said = Program::new(&["verify", path.to_str().unwrap()])
            .run()
            .success();
        assert!(said.contains("boot.img is signed by you"), "{said}");
        assert!(said.contains("names the root hash"), "{said}");
    }
    let copy = folder();
    let path = copy.path().join(pi5().image().file_name().unwrap());
    tool(
        "cp",
        &[
            "--sparse=always",
            pi5().image().to_str().unwrap(),
            path.to_str().unwrap(),
        ],
    );
    for ending in [".manifest.json", ".manifest.json.minisig"] {
        let name = format!("{}{ending}", pi5().stem);
        fs::copy(pi5().path(&name), copy.path().join(name)).unwrap();
    }
    // In the middle of boot.img, whose file lies in one piece.
    let (offset, _) = region(&pi5().partitions()[1]);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut byte = [0];
    let at = offset + (20 << 20);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    let ran = Program::new(&["verify", path.to_str().unwrap()]).run();
    assert_eq!(ran.code, 21, "{}{}", ran.output, ran.errors);
    assert!(ran.output.contains("boot.img"), "{}", ran.output);
}
