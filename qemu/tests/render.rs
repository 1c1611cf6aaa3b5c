//! Reports as other programs read them, judged by Python's readers of XML and JSON.

use fortress_qemu::{Accelerator, Check, Outcome, Report, SecureBoot, Verdict};
use fortress_tests::Oracle;

fn report(verdict: Verdict) -> Report {
    let check = |name: &str, outcome, detail: &str| Check {
        name: name.to_owned(),
        outcome,
        detail: detail.to_owned(),
    };
    Report {
        image: "a <b> & \"c\".img".into(),
        verdict,
        summary: "the guest said \u{1b}[31m]]> & \0 'that'".to_owned(),
        accelerator: Accelerator {
            name: "tcg".to_owned(),
            why: "KVM did not work when it was last tried ".repeat(5),
        },
        firmware: "direct kernel boot".to_owned(),
        secure_boot: SecureBoot::Enrolled,
        tpm: Some("TPM emulator <version> \u{1b}; fresh from the factory".to_owned()),
        emulator: "QEMU".to_owned(),
        boots: Vec::new(),
        checks: vec![
            check("boot 1: root", Outcome::Passed, ""),
            check("boot 1: units", Outcome::Failed, "<failed> \u{ffff}\u{7}"),
            check("console", Outcome::Skipped, "\r\n\"why\""),
        ],
        findings: Vec::new(),
        digest_before: "00".to_owned(),
        digest_after: "00".to_owned(),
        serial_log: "serial.log".into(),
        last_lines: vec!["\u{1b}last <line>".to_owned()],
        seconds: 1.5,
    }
}

const JUDGE: &str = r#"
import json, sys, xml.etree.ElementTree as tree
suites = tree.parse(sys.argv[1]).getroot()
suite = suites[0]
cases = suite.findall("testcase")
assert suites.tag == "testsuites" and suite.tag == "testsuite"
assert suite.get("name") == 'a <b> & "c".img', suite.get("name")
assert int(suite.get("tests")) == len(cases)
for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
    assert int(suite.get(attribute)) == len(suite.findall("testcase/" + tag)), attribute
assert cases[1].get("classname") == "boot 1" and cases[1].get("name") == "root"
report = json.load(open(sys.argv[2]))
print(report["verdict"], suite.get("errors"), suite.get("failures"), report["checks"][1]["outcome"])
"#;

#[test]
fn whatever_the_guest_says_the_reports_are_well_formed() {
    let oracle = Oracle::open();
    let folder = oracle.folder();
    let (xml, json) = (folder.path().join("a.xml"), folder.path().join("a.json"));
    for (verdict, said) in [
        (Verdict::Failed, "failed 0 1 failed"),
        (Verdict::Crashed, "crashed 1 1 failed"),
        (Verdict::ImageChanged, "image-changed 1 1 failed"),
    ] {
        let report = report(verdict);
        std::fs::write(&xml, report.to_junit()).unwrap();
        std::fs::write(&json, report.to_json()).unwrap();
        let (xml, json) = (oracle.inside(&xml), oracle.inside(&json));
        let judged = oracle.run(&["python3", "-c", JUDGE, &xml, &json]).success();
        assert_eq!(judged.trim(), said);
        let text = report.to_string();
        assert!(!text.contains(['\u{1b}', '\0', '\r']), "{text:?}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{text}");
    }
}
