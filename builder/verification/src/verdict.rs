//! What a verification came to.

use fortress_disk::Region;
use serde::Serialize;
use std::fmt;

/// Most findings that are kept; more are counted.
pub const MOST_FINDINGS: usize = 100;

/// What kind of fault a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Bytes are not what was signed.
    Damaged,
    /// A signature is missing, or not by the owner.
    NotSigned,
    /// It was not made by this program: there is no manifest, or no partition table.
    Foreign,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of fault it is.
    pub fault: Fault,
    /// What is wrong there, for people: `is not what the manifest says`.
    pub reason: String,
    /// The part of the image that it is in: `esp`, `root`, `manifest`.
    pub part: String,
    /// Which bytes of the image, counted from its start; none if there is no telling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Bytes>,
    /// What these bytes belong to: a file of the root (`/usr/bin/x, bytes 4096 to 8191 of it`), a
    /// section of a file of the EFI system partition, a level of the hash tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
}

/// A stretch of the image, as reports write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// The first byte.
    pub first: u64,
    /// How many there are.
    pub length: u64,
}

impl From<Region> for Bytes {
    fn from(region: Region) -> Self {
        Self {
            first: region.offset,
            length: region.length,
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.first.saturating_add(self.length.saturating_sub(1));
        write!(formatter, "bytes {} to {last}", self.first)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.part)?;
        if let Some(bytes) = &self.bytes {
            write!(formatter, ", {bytes}")?;
        }
        if let Some(owner) = &self.belongs_to {
            write!(formatter, " ({owner})")?;
        }
        write!(formatter, ": {}", self.reason)
    }
}

/// What a verification as a whole says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything is as the owner signed it.
    Good,
    /// The owner has not signed it.
    NotSigned,
    /// The owner has signed something else than what is there now.
    Damaged,
    /// It is not an image of this program's.
    Foreign,
}

impl Outcome {
    /// The exit code that goes with it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::NotSigned => 20,
            Self::Damaged => 21,
            Self::Foreign => 22,
        }
    }
}

/// Something that was looked at and found right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `manifest`, `root`, `EFI/Linux/host_1.0+3.efi`.
    pub what: String,
    /// What is right about it.
    pub result: String,
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What it all says.
    pub outcome: Outcome,
    /// What is wrong: at most [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many findings there are beyond those.
    pub more_findings: u64,
    /// What was found right.
    pub checks: Vec<Check>,
    /// What was not looked at, or may differ: a partition that the manifest does not cover, a key
    /// that is not at hand.
    pub notes: Vec<String>,
}

/// Collects findings while the work goes on.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    more: u64,
    worst: Option<Outcome>,
    checks: Vec<Check>,
    notes: Vec<String>,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        let outcome = match finding.fault {
            Fault::Damaged => Outcome::Damaged,
            Fault::NotSigned => Outcome::NotSigned,
            Fault::Foreign => Outcome::Foreign,
        };
        self.worst = Some(match self.worst {
            // Who did not make it cannot have signed it, and what is not signed is not the
            // owner's to be damaged.
            Some(worst) if rank(worst) >= rank(outcome) => worst,
            _ => outcome,
        });
        if self.list.len() < MOST_FINDINGS {
            self.list.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Adds what is wrong with a part as a whole.
    pub(crate) fn wrong(&mut self, fault: Fault, part: &str, reason: impl Into<String>) {
        self.add(Finding {
            fault,
            reason: reason.into(),
            part: part.to_owned(),
            bytes: None,
            belongs_to: None,
        });
    }

    pub(crate) fn right(&mut self, what: impl Into<String>, result: impl Into<String>) {
        self.checks.push(Check {
            what: what.into(),
            result: result.into(),
        });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Takes over what another one has collected.
    pub(crate) fn merge(&mut self, other: Self) {
        for finding in other.list {
            self.add(finding);
        }
        self.more += other.more;
        self.checks.extend(other.checks);
        self.notes.extend(other.notes);
    }

    /// Counts findings that were not kept elsewhere already.
    pub(crate) fn add_more(&mut self, count: u64) {
        self.more += count;
    }

    pub(crate) fn count(&self) -> usize {
        self.list.len() + self.more as usize
    }

    pub(crate) fn verdict(self) -> Verdict {
        Verdict {
            outcome: self.worst.unwrap_or(Outcome::Good),
            findings: self.list,
            more_findings: self.more,
            checks: self.checks,
            notes: self.notes,
        }
    }
}

fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Good => 0,
        Outcome::Damaged => 1,
        Outcome::NotSigned => 2,
        Outcome::Foreign => 3,
    }
}
