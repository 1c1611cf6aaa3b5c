//! Measurements of unified kernel images judged by systemd-measure, ukify and a TPM (swtpm), and by
//! damage.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use fortress_boot::measure::{self, Measurement, PHASES, SECTIONS};
use fortress_boot::pe::Image;
use fortress_boot::uki::{self, SBAT, UkiSections};
use fortress_progress::Silent;
use fortress_tests::Oracle;
use fortress_tree::Content;
use fortress_trust::pcr::{self, PhaseValue};
use fortress_trust::{KeySet, NewKeys, Role};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Cursor;
use std::path::Path;

const COMMAND_LINE: &str = "roothash=00 quiet";
const OS_RELEASE: &str = "ID=fortress\nVERSION_ID=1\n";

fn keys(folder: &Path) -> KeySet {
    let new = NewKeys {
        owner: "Owner".into(),
        passphrase: None,
    };
    KeySet::generate(&folder.join("keys"), &new).unwrap()
}

/// A unified kernel image of a real kernel, and that kernel's version.
fn image(oracle: &Oracle, public_key: &[u8], signature: &[u8]) -> (Vec<u8>, String) {
    let boot = oracle.root().join("boot");
    let entries = fs::read_dir(&boot).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.find(|name| name.starts_with("vmlinuz-")).unwrap();
    let stub = oracle
        .root()
        .join("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    let uname = name["vmlinuz-".len()..].to_owned();
    let sections = UkiSections {
        stub: &fs::read(stub).unwrap(),
        os_release: OS_RELEASE.as_bytes(),
        command_line: COMMAND_LINE,
        device_tree: Some(Content::from(vec![0xd0; 5001])),
        uname: &uname,
        pcr_public_key: public_key,
        linux: Content::host_file(&boot.join(name)).unwrap(),
        initrd: Content::from(vec![0x11; 100_003]),
        sbat: SBAT,
        pcr_signature: signature,
    };
    let mut bytes = Vec::new();
    uki::build(&sections, &mut bytes).unwrap();
    (bytes, uname)
}

fn measured(bytes: &[u8]) -> Result<Measurement, measure::Error> {
    let image = Image::parse(bytes).unwrap();
    measure::measure(&image, &mut Cursor::new(bytes))
}

fn sections(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let image = Image::parse(bytes).unwrap();
    let section = |section: &fortress_boot::pe::Section| {
        (section.name.clone(), section.data(bytes).unwrap().to_vec())
    };
    image.sections.iter().map(section).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// systemd-measure's arguments for an image's sections, which are put into files.
fn arguments(oracle: &Oracle, folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut arguments = Vec::new();
    for (name, data) in sections(bytes) {
        if SECTIONS.contains(&name.as_str()) {
            let path = folder.join(&name[1..]);
            fs::write(&path, data).unwrap();
            arguments.push(format!("--{}={}", &name[1..], oracle.inside(&path)));
        }
    }
    arguments
}

#[test]
fn values_and_signatures_are_those_of_systemd_measure() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let keys = keys(folder.path());
    let signer = keys.signer(&|| unreachable!(), &Silent).unwrap();
    let public_key = fs::read(folder.path().join("keys/pcr.pub.pem")).unwrap();
    let (bytes, _) = image(&oracle, &public_key, b"");
    let sections = arguments(&oracle, folder.path(), &bytes);
    assert_eq!(sections.len(), 8, "{sections:?}");
    let run = |verb: &str, more: &[&str]| {
        let mut command = vec!["/usr/lib/systemd/systemd-measure", verb, "--bank=sha256"];
        command.extend(sections.iter().map(String::as_str));
        command.extend(more);
        oracle.run_with_proc(&command).success()
    };
    let phases = measured(&bytes).unwrap().phases();
    let said = run("calculate", &["--json=short"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let theirs = said["sha256"].as_array().unwrap();
    assert_eq!(theirs.len(), phases.len());
    for (theirs, ours) in theirs.iter().zip(&phases) {
        assert_eq!(theirs["phase"], ours.phase.as_str());
        assert_eq!(theirs["hash"], hex(&ours.value).as_str());
    }
    let key = format!("--private-key={}", inside("keys/pcr.key.pem"));
    let public = format!("--public-key={}", inside("keys/pcr.pub.pem"));
    let ours = pcr::sign(keys.public(), &signer, "a test", &phases).unwrap();
    assert_eq!(ours, run("sign", &[&key, &public]));
    pcr::verify(
        ours.as_bytes(),
        &phases,
        keys.public().key(Role::Pcr).unwrap(),
    )
    .unwrap();
}

#[test]
fn ukify_makes_the_same_image_and_policies() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let inside = |name: &str| oracle.inside(&folder.path().join(name));
    let keys = keys(folder.path());
    let signer = keys.signer(&|| unreachable!(), &Silent).unwrap();
    let public_key = keys.public().key(Role::Pcr).unwrap().pem().unwrap();
    let (unsigned, _) = image(&oracle, public_key.as_bytes(), b"");
    let phases = measured(&unsigned).unwrap().phases();
    let signature = pcr::sign(keys.public(), &signer, "a test", &phases).unwrap();
    let (ours, uname) = image(&oracle, public_key.as_bytes(), signature.as_bytes());
    // The signature itself is not measured.
    assert_eq!(measured(&ours).unwrap().phases(), phases);
    fs::write(folder.path().join("initrd"), [0x11; 100_003]).unwrap();
    fs::write(folder.path().join("tree"), [0xd0; 5001]).unwrap();
    fs::write(folder.path().join("os-release"), OS_RELEASE).unwrap();
    let command = [
        "ukify",
        "build",
        &format!("--linux=/boot/vmlinuz-{uname}"),
        &format!("--initrd={}", inside("initrd")),
        &format!("--os-release=@{}", inside("os-release")),
        &format!("--cmdline={COMMAND_LINE}"),
        &format!("--uname={uname}"),
        &format!("--devicetree={}", inside("tree")),
        &format!("--pcr-private-key={}", inside("keys/pcr.key.pem")),
        &format!("--pcr-public-key={}", inside("keys/pcr.pub.pem")),
        "--pcr-banks=sha256",
        "--signtool=sbsign",
        &format!("--secureboot-private-key={}", inside("keys/db.key.pem")),
        &format!("--secureboot-certificate={}", inside("keys/db.crt")),
        &format!("--output={}", inside("theirs.efi")),
    ];
    oracle.run_with_proc(&command).success();
    let theirs = fs::read(folder.path().join("theirs.efi")).unwrap();
    let (ours, theirs) = (sections(&ours), sections(&theirs));
    assert_eq!(ours.len(), theirs.len());
    for ((our_name, our_data), (name, data)) in ours.iter().zip(&theirs) {
        assert_eq!(our_name, name);
        // ukify puts spaces into what systemd-measure gave it.
        if name == ".pcrsig" {
            let ours: serde_json::Value = serde_json::from_slice(our_data).unwrap();
            let theirs: serde_json::Value = serde_json::from_slice(data).unwrap();
            assert_eq!(ours, theirs);
        } else {
            assert!(our_data == data, "ukify has another section {name}");
        }
    }
}

/// Runs a TPM of its own, in a network of its own. Its PCR 11 is extended by what the file `extend`
/// lists; wherever that has a line `policy NAME`, the TPM is asked whether a policy for the PCR as it
/// is then is the one signed, and `NAME` is printed if so.
const TPM: &str = r#"
set -eu
oracle=$1 folder=$2
oracle() { chroot "$oracle" "$@"; }
oracle ip link set lo up
swtpm socket --tpm2 --tpmstate dir="$oracle$folder" --flags not-need-init,startup-clear \
    --server type=tcp,port=2321,disconnect --ctrl type=tcp,port=2322 &
trap "kill $!" EXIT
export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=2321
tries=0
until oracle tpm2_getcap properties-fixed > /dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 100 ]
    sleep 0.1
done
oracle tpm2_loadexternal -Q -C o -G rsa -u "$folder/keys/pcr.pub.pem" \
    -c "$folder/key" -n "$folder/key.name"
while read -r what value; do
    if [ "$what" = extend ]; then
        oracle tpm2_pcrextend "11:sha256=$value"
        continue
    fi
    oracle tpm2_flushcontext -t
    oracle tpm2_flushcontext -l
    oracle tpm2_verifysignature -Q -c "$folder/key" -g sha256 -f rsassa \
        -m "$folder/$value.policy" -s "$folder/$value.signature" -t "$folder/ticket"
    oracle tpm2_startauthsession --policy-session -S "$folder/session"
    oracle tpm2_policypcr -Q -S "$folder/session" -l sha256:11
    if oracle tpm2_policyauthorize -Q -S "$folder/session" -i "$folder/$value.policy" \
        -n "$folder/key.name" -t "$folder/ticket" 2> /dev/null; then
        echo "$value"
    fi
    oracle tpm2_flushcontext "$folder/session"
done < "$oracle$folder/extend"
"#;

#[test]
fn a_tpm_accepts_the_policies_in_their_phases_only() {
    use base64::Engine;
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let keys = keys(folder.path());
    let signer = keys.signer(&|| unreachable!(), &Silent).unwrap();
    let public_key = keys.public().key(Role::Pcr).unwrap().pem().unwrap();
    let (bytes, _) = image(&oracle, public_key.as_bytes(), b"");
    let phases = measured(&bytes).unwrap().phases();
    let signed = pcr::sign(keys.public(), &signer, "a test", &phases).unwrap();
    let signed: serde_json::Value = serde_json::from_str(&signed).unwrap();
    for (name, entry) in PHASES.iter().zip(signed["sha256"].as_array().unwrap()) {
        let policy = entry["pol"].as_str().unwrap();
        let digit = |at: usize| u8::from_str_radix(&policy[at..at + 2], 16).unwrap();
        let policy: Vec<u8> = (0..policy.len()).step_by(2).map(digit).collect();
        fs::write(folder.path().join(format!("{name}.policy")), policy).unwrap();
        let signature = base64::engine::general_purpose::STANDARD
            .decode(entry["sig"].as_str().unwrap())
            .unwrap();
        fs::write(folder.path().join(format!("{name}.signature")), signature).unwrap();
    }
    // What systemd-stub measures, in its order, and then the phases; of each its policy counts after
    // it, and neither before nor when something more was measured.
    let mut script = String::new();
    let mut extend =
        |bytes: &[u8]| script.push_str(&format!("extend {}\n", hex(&Sha256::digest(bytes))));
    let image = sections(&bytes);
    for name in SECTIONS {
        if let Some((_, data)) = image.iter().find(|(section, _)| section == name) {
            extend(format!("{name}\0").as_bytes());
            extend(data);
        }
    }
    for phase in PHASES {
        script.push_str(&format!("policy {phase}\n"));
        script.push_str(&format!("extend {}\n", hex(&Sha256::digest(phase))));
        script.push_str(&format!("policy {phase}\n"));
    }
    script.push_str(&format!("extend {}\npolicy ready\n", "00".repeat(32)));
    fs::write(folder.path().join("extend"), script).unwrap();
    let output = std::process::Command::new("unshare")
        .args(["--net", "sh", "-c", TPM, "sh"])
        .arg(oracle.root())
        .arg(oracle.inside(folder.path()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.lines().collect::<Vec<_>>(), PHASES, "{output:?}");
}

/// What systemd-stub does, written out by hand for one section.
#[test]
fn a_section_is_measured_by_name_and_contents() {
    let extend = |value: [u8; 32], bytes: &[u8]| {
        let digest = Sha256::digest(bytes);
        Sha256::digest([&value[..], &digest].concat()).into()
    };
    let mut measurement = Measurement::default();
    assert_eq!(measurement.value(), [0; 32]);
    assert!(measurement.add(".linux", Sha256::digest("kernel").into()));
    assert!(!measurement.add(".linux", [0; 32]));
    assert!(!measurement.add(".pcrsig", [0; 32]));
    assert!(!measurement.add(".text", [0; 32]));
    let value = extend(extend([0; 32], b".linux\0"), b"kernel");
    assert_eq!(measurement.value(), value);
    let phases = measurement.phases();
    assert_eq!(phases.len(), PHASES.len());
    let first = extend(value, b"enter-initrd");
    let expected = PhaseValue {
        phase: "enter-initrd:leave-initrd".into(),
        value: extend(first, b"leave-initrd"),
    };
    assert_eq!((phases[0].value, &phases[1]), (first, &expected));
}

#[test]
fn damage_is_told() {
    let oracle = Oracle::open();
    let (bytes, _) = image(&oracle, b"", b"");
    let image = Image::parse(&bytes).unwrap();
    let header = |name: &str| {
        let index = image
            .sections
            .iter()
            .position(|section| section.name == name);
        image.section_headers + 40 * index.unwrap()
    };
    let said = |bytes: &[u8]| measured(bytes).unwrap_err().to_string();
    let end = image.section(".initrd").unwrap().raw_offset as usize + 1000;
    let cut = said(&bytes[..end]);
    assert!(cut.contains("section .initrd is cut off"), "{cut}");
    let mut twice = bytes.clone();
    twice[header(".uname")..][..8].copy_from_slice(b".initrd\0");
    assert!(said(&twice).contains("two sections .initrd"));
    let mut larger = bytes.clone();
    larger[header(".uname") + 8..][..4].copy_from_slice(&0x10_0000u32.to_le_bytes());
    assert!(said(&larger).contains("larger in memory"));
    // Any byte of a section changes every phase.
    let good = measured(&bytes).unwrap().phases();
    for name in [
        ".linux", ".cmdline", ".initrd", ".sbat", ".osrel", ".uname", ".dtb",
    ] {
        let mut changed = bytes.clone();
        changed[image.section(name).unwrap().raw_offset as usize] ^= 1;
        let changed = measured(&changed).unwrap().phases();
        assert!(
            good.iter()
                .zip(&changed)
                .all(|(one, other)| one.value != other.value),
            "{name}"
        );
    }
}

proptest! {
    #[test]
    fn the_order_in_which_sections_come_does_not_matter(
        order in Just(SECTIONS.to_vec()).prop_shuffle(),
    ) {
        let collect = |names: &[&str]| {
            let mut measurement = Measurement::default();
            for name in names {
                measurement.add(name, Sha256::digest(name).into());
            }
            measurement.phases()
        };
        prop_assert_eq!(collect(&order), collect(&SECTIONS));
    }

    #[test]
    fn damaged_headers_never_panic(
        damage in prop::collection::vec((0usize..1024, any::<u8>()), 1..12),
    ) {
        let mut stub = stub().to_vec();
        for (at, value) in damage {
            stub[at] = value;
        }
        if let Ok(image) = Image::parse(&stub) {
            let _ = measure::measure(&image, &mut Cursor::new(&stub));
        }
    }
}

fn stub() -> &'static [u8] {
    static STUB: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    STUB.get_or_init(|| {
        let root = Oracle::open().root().to_owned();
        fs::read(root.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub")).unwrap()
    })
}
