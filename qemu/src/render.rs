//! Reports for people and for other programs: text, JSON, JUnit.

use crate::health::{Check, Outcome};
use crate::report::{Accelerator, Report, Verdict};
use std::fmt;
use std::fmt::Write;

impl Report {
    /// The report as JSON, indented, its keys in the order of the fields.
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists: nothing in it can fail to become JSON.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The report as JUnit XML, a test case for each check, as CI systems read it.
    pub fn to_junit(&self) -> String {
        let of = |outcome| {
            self.checks
                .iter()
                .filter(|check| check.outcome == outcome)
                .count()
        };
        let error = !matches!(self.verdict, Verdict::Passed | Verdict::Failed);
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let image = escape(&self.image.display().to_string());
        // Writing to a string cannot fail.
        let _ = write!(
            xml,
            "<testsuites name=\"boot test\" tests=\"{0}\" failures=\"{1}\" errors=\"{2}\" \
             time=\"{3:.3}\">\n  <testsuite name=\"{image}\" tests=\"{0}\" failures=\"{1}\" \
             errors=\"{2}\" skipped=\"{4}\" time=\"{3:.3}\">\n    <properties>\n",
            self.checks.len() + 1,
            of(Outcome::Failed),
            u8::from(error),
            self.seconds,
            of(Outcome::Skipped),
        );
        for (name, value) in [
            ("verdict", self.verdict.name()),
            ("accelerator", &self.accelerator.name),
            ("firmware", &self.firmware),
            ("secure-boot", self.secure_boot.name()),
            ("tpm", self.tpm.as_deref().unwrap_or("none")),
            ("emulator", &self.emulator),
            ("image.sha256", &self.digest_before),
        ] {
            let _ = writeln!(
                xml,
                "      <property name=\"{name}\" value=\"{}\"/>",
                escape(value)
            );
        }
        xml.push_str("    </properties>\n");
        let _ = write!(
            xml,
            "    <testcase classname=\"boot\" name=\"the plan is gone through\" time=\"{:.3}\"",
            self.seconds
        );
        if error {
            let _ = write!(
                xml,
                ">\n      <error message=\"{}\">{}</error>\n    </testcase>\n",
                escape(&self.summary),
                escape(&self.last_lines.join("\n"))
            );
        } else {
            xml.push_str("/>\n");
        }
        for check in &self.checks {
            xml.push_str(&test_case(check));
        }
        let _ = write!(
            xml,
            "    <system-out>{}</system-out>\n  </testsuite>\n</testsuites>\n",
            escape(&self.to_string())
        );
        xml
    }
}

fn test_case(check: &Check) -> String {
    let (class, name) = check.name.split_once(": ").unwrap_or(("test", &check.name));
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
        escape(class),
        escape(name)
    );
    let detail = escape(&check.detail);
    match check.outcome {
        Outcome::Passed => format!("{head}/>\n"),
        Outcome::Failed => {
            format!("{head}>\n      <failure message=\"{detail}\"/>\n    </testcase>\n")
        }
        Outcome::Skipped => {
            format!("{head}>\n      <skipped message=\"{detail}\"/>\n    </testcase>\n")
        }
    }
}

/// Text for XML 1.0: its five special characters as references, what XML cannot hold replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' | '\t' => escaped.push(character),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// Text from the guest for a terminal: without control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|own| if own.is_control() { '\u{fffd}' } else { own })
        .collect()
}

/// A name and what there is to say of it, in lines of 80 characters where words allow it.
pub(crate) fn field(out: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    write!(out, "  {name:<10}")?;
    let mut column = INDENT;
    for word in text.split(' ') {
        let width = word.chars().count() + 1;
        if column + width > WIDTH && column > INDENT {
            write!(out, "\n{:INDENT$}", "")?;
            column = INDENT;
        }
        write!(out, " {word}")?;
        column += width;
    }
    writeln!(out)
}

/// How wide a terminal is taken to be, and where what fields say begins, in characters.
const WIDTH: usize = 80;
const INDENT: usize = 12;

impl fmt::Display for Report {
    /// A summary for a terminal, several lines, each ended.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "boot test: {}", self.verdict.name())?;
        writeln!(out, "  {}", plain(&self.summary))?;
        let same = if self.digest_before == self.digest_after {
            "unchanged"
        } else {
            "CHANGED"
        };
        field(out, "image", &format!("{}, {same}", self.image.display()))?;
        field(out, "sha256", &self.digest_before)?;
        let Accelerator { name, why } = &self.accelerator;
        field(out, "machine", &format!("{name}: {}", plain(why)))?;
        field(out, "emulator", &plain(&self.emulator))?;
        let secure_boot = self.secure_boot.name();
        field(
            out,
            "firmware",
            &format!("{}; Secure Boot {secure_boot}", self.firmware),
        )?;
        let tpm = self.tpm.as_deref().unwrap_or("none");
        field(out, "TPM", &plain(tpm))?;
        for (at, boot) in self.boots.iter().enumerate() {
            let times = &boot.times;
            let line: Vec<String> = [
                ("keys enrolled", times.enrolled),
                ("firmware done", times.handover),
                ("kernel", times.kernel),
                ("initrd", times.initrd),
                ("user space", times.user_space),
                ("report", times.report),
            ]
            .iter()
            .filter_map(|(name, at)| at.map(|at| format!("{name} {at:.1} s")))
            .collect();
            field(out, &format!("boot {}", at + 1), &line.join(", "))?;
        }
        let of = |outcome| self.checks.iter().filter(move |own| own.outcome == outcome);
        writeln!(
            out,
            "  checks     {} passed, {} failed, {} skipped",
            of(Outcome::Passed).count(),
            of(Outcome::Failed).count(),
            of(Outcome::Skipped).count()
        )?;
        for (word, outcome) in [("failed", Outcome::Failed), ("skipped", Outcome::Skipped)] {
            for check in of(outcome) {
                let (name, detail) = (plain(&check.name), plain(&check.detail));
                writeln!(out, "    {word:<8} {name}: {detail}")?;
            }
        }
        for finding in self.findings.iter().take(10) {
            let seconds = finding.seconds;
            let line = plain(&finding.line);
            writeln!(
                out,
                "  console    {seconds:.1} s: {}: {line}",
                finding.pattern
            )?;
            if let Some(allowed) = &finding.allowed {
                writeln!(out, "             allowed: {}", plain(allowed))?;
            }
        }
        if !matches!(self.verdict, Verdict::Passed) {
            for line in &self.last_lines {
                writeln!(out, "  | {}", plain(line))?;
            }
        }
        writeln!(out, "  log        {}", self.serial_log.display())
    }
}
