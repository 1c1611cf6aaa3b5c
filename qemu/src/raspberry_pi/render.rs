//! The report of a Raspberry Pi's boot test for people and for CI systems.

use super::test::{FirmwareOutcome, RaspberryPiReport};
use crate::render::{escape, field, plain};
use crate::report::Verdict;
use std::fmt::{self, Write};

impl RaspberryPiReport {
    /// The report as JUnit XML: a suite for the played firmware, and one for each machine.
    pub fn to_junit(&self) -> String {
        let refused = match &self.firmware {
            FirmwareOutcome::Started(_) => None,
            FirmwareOutcome::Refused(why) => Some(escape(why)),
        };
        let failures = u8::from(refused.is_some());
        let image = escape(&self.image.display().to_string());
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"boot test\">\n  \
             <testsuite name=\"{image}: firmware\" tests=\"1\" failures=\"{failures}\" \
             errors=\"0\">\n    <testcase classname=\"firmware\" name=\"the board starts\" \
             time=\"0\""
        );
        // Writing to a string cannot fail.
        let _ = match refused {
            None => writeln!(xml, "/>"),
            Some(why) => writeln!(
                xml,
                ">\n      <failure message=\"{why}\"/>\n    </testcase>"
            ),
        };
        xml.push_str("  </testsuite>\n");
        for machine in &self.machines {
            let whole = machine.report.to_junit();
            let suite = whole.find("  <testsuite ").zip(whole.find("</testsuites>"));
            if let Some((start, end)) = suite {
                xml.push_str(&whole[start..end]);
            }
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

impl fmt::Display for RaspberryPiReport {
    /// A summary for a terminal, several lines, each ended.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "boot test: {}", self.verdict.name())?;
        writeln!(out, "  {}", plain(&self.summary))?;
        field(out, "image", &self.image.display().to_string())?;
        field(
            out,
            "firmware",
            &format!("of a {}, played", self.board.name()),
        )?;
        match &self.firmware {
            FirmwareOutcome::Started(started) => {
                for line in &started.log {
                    writeln!(out, "    {}", plain(line))?;
                }
            }
            FirmwareOutcome::Refused(why) => writeln!(out, "    refused: {}", plain(why))?,
        }
        for machine in &self.machines {
            writeln!(out)?;
            field(out, "machine", machine.machine)?;
            field(out, "shows", machine.shows)?;
            field(
                out,
                "added",
                &format!("{}, to the command line", machine.added),
            )?;
            if !machine.changed.is_empty() {
                field(out, "changed", "in a copy of the board's device tree")?;
            }
            for line in &machine.changed {
                writeln!(out, "    {}", plain(line))?;
            }
            match machine.report.verdict {
                // Its first lines are above.
                Verdict::Passed => {
                    let text = machine.report.to_string();
                    for line in text.lines().skip(1) {
                        writeln!(out, "{line}")?;
                    }
                }
                _ => write!(out, "{}", machine.report)?,
            }
        }
        writeln!(out)?;
        field(out, "not shown", self.limits)
    }
}
