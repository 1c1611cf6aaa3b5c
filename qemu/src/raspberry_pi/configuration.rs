//! `config.txt` and `autoboot.txt`: settings under conditional filters.
//!
//! Filters of one kind replace each other, those of different kinds must all hold, `[all]` takes all
//! of them away. Where the firmware passes over what it does not understand, or cuts it, this refuses:
//! a line that does nothing is a mistake in an image.

use super::Board;
use super::refusal::{Refusal, Result};
use std::collections::BTreeMap;

/// Characters of a line that the firmware looks at.
const LONGEST_LINE: usize = 98;

/// What filters are held against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions {
    pub(super) board: Board,
    /// Whether the machine was restarted with the `tryboot` flag.
    pub(super) tryboot: bool,
    /// The partition that is started from; none while that is still to be said (`autoboot.txt`).
    pub(super) partition: Option<u32>,
}

/// Where a text is from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) place: &'a str,
}

/// A setting that holds, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    value: String,
    line: usize,
}

/// The settings that hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Configuration {
    settings: BTreeMap<String, Setting>,
    /// `initramfs FILE followkernel`.
    initrds: Vec<String>,
    /// `dtoverlay=NAME`, in their order.
    overlays: Vec<String>,
    /// Sections that were passed over, and why.
    pub(super) passed_over: Vec<String>,
}

/// Filters, by kind: whether the one that was said last holds.
#[derive(Debug, Default)]
struct Filters {
    model: Option<bool>,
    partition: Option<bool>,
    tryboot: Option<bool>,
    /// What depends on a single machine or on what is plugged in, and `[none]`: never holds here.
    other: bool,
}

impl Filters {
    fn hold(&self) -> bool {
        !self.other
            && [self.model, self.partition, self.tryboot]
                .into_iter()
                .all(|filter| filter != Some(false))
    }

    /// Takes a section's name. `Err` says why it is not taken.
    fn take(&mut self, name: &str, conditions: &Conditions) -> std::result::Result<(), String> {
        let conditional = name.split_once('=');
        match (name, conditional) {
            ("all", _) => *self = Self::default(),
            ("none", _) => self.other = true,
            ("tryboot", _) => self.tryboot = Some(conditions.tryboot),
            (model, _) if MODELS.contains(&model) => {
                self.model = Some(conditions.board.models().contains(&model));
            }
            (_, Some(("board-type", number))) => {
                let number = integer(number).ok_or("names no board type")?;
                self.model = Some(number == conditions.board.kind());
            }
            (_, Some(("boot_partition", number))) => {
                let number = integer(number).ok_or("names no partition")?;
                let own = conditions
                    .partition
                    .ok_or("depends on what this file decides")?;
                self.partition = Some(number == own);
            }
            (_, Some((kind, _))) if kind == "EDID" || kind.starts_with("gpio") => {
                self.other = true;
            }
            (serial, None) if serial.starts_with("0x") && integer(serial).is_some() => {
                self.other = true;
            }
            (port, None) if port.starts_with("HDMI:") => {}
            _ => return Err("is a filter that is not known".to_owned()),
        }
        Ok(())
    }
}

/// The filters for models.
const MODELS: [&str; 19] = [
    "cm0", "cm1", "cm3", "cm3+", "cm4", "cm4s", "cm5", "pi0", "pi02", "pi0w", "pi1", "pi2", "pi3",
    "pi3+", "pi4", "pi400", "pi5", "pi500", "pi500+",
];

/// A number, decimal or after `0x` hexadecimal.
fn integer(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Configuration {
    /// Reads a text.
    pub(super) fn read(text: &[u8], source: Source<'_>, conditions: &Conditions) -> Result<Self> {
        let mut own = Self::default();
        let mut filters = Filters::default();
        for (bytes, line) in text.split(|byte| *byte == b'\n').zip(1..) {
            let refused = |why: &str| Refusal::Line {
                file: source.file.to_owned(),
                place: source.place.to_owned(),
                line,
                why: why.to_owned(),
            };
            let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes).trim_ascii();
            if bytes.is_empty() || bytes[0] == b'#' {
                continue;
            }
            let text = std::str::from_utf8(bytes)
                .ok()
                .filter(|text| !text.contains(char::is_control))
                .ok_or_else(|| refused("is not plain text"))?;
            if text.chars().count() > LONGEST_LINE {
                return Err(refused(&format!(
                    "is longer than {LONGEST_LINE} characters; the firmware cuts the rest off"
                )));
            }
            if let Some(section) = text.strip_prefix('[') {
                let name = section
                    .strip_suffix(']')
                    .ok_or_else(|| refused("begins a section, but has no ]"))?;
                filters
                    .take(name, conditions)
                    .map_err(|why| refused(&why))?;
                if !filters.hold() {
                    own.passed_over.push(format!("[{name}]"));
                }
                continue;
            }
            let setting = Self::setting(text).map_err(refused)?;
            if filters.hold() {
                own.apply(setting, line);
            }
        }
        Ok(own)
    }

    fn setting(text: &str) -> std::result::Result<(&str, &str), &'static str> {
        if let Some(rest) = text.strip_prefix("initramfs ") {
            return match rest.trim().rsplit_once(' ') {
                Some((file, "followkernel" | "0")) if !file.trim().contains(' ') => {
                    Ok(("initramfs", file.trim()))
                }
                _ => Err("is not of the form: initramfs FILE followkernel"),
            };
        }
        if text.starts_with("include ") {
            return Err("includes a file, which the firmware of the EEPROM does not do");
        }
        let (name, value) = text.split_once('=').ok_or("is no setting: it has no =")?;
        if name == "initramfs" {
            return Err("is not of the form: initramfs FILE followkernel");
        }
        if name.ends_with(' ') || value.starts_with(' ') {
            return Err("has a blank beside its =, which the firmware takes for part of the text");
        }
        Ok((name, value))
    }

    fn apply(&mut self, (name, value): (&str, &str), line: usize) {
        let value = value.to_owned();
        match name {
            "initramfs" => self.initrds = value.split(',').map(str::to_owned).collect(),
            "dtoverlay" => match value.split(',').next() {
                // An empty one only ends the parameters of the one before.
                Some("") | None => {}
                Some(name) => self.overlays.push(name.to_owned()),
            },
            _ => {
                self.settings
                    .insert(name.to_owned(), Setting { value, line });
            }
        }
    }

    /// A setting's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(|own| own.value.as_str())
    }

    /// A setting's value as a number.
    pub(super) fn number(&self, name: &str, source: Source<'_>) -> Result<Option<u32>> {
        let Some(setting) = self.settings.get(name) else {
            return Ok(None);
        };
        match integer(&setting.value) {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::Line {
                file: source.file.to_owned(),
                place: source.place.to_owned(),
                line: setting.line,
                why: format!("gives {name} a value that is no number"),
            }),
        }
    }

    /// Whether a setting is set and not 0.
    pub(super) fn is_set(&self, name: &str, source: Source<'_>) -> Result<bool> {
        Ok(self.number(name, source)?.is_some_and(|number| number != 0))
    }

    /// The initrds, to be loaded one after another.
    pub(super) fn initrds(&self) -> &[String] {
        &self.initrds
    }

    /// The overlays, in their order.
    pub(super) fn overlays(&self) -> &[String] {
        &self.overlays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOURCE: Source<'_> = Source {
        file: "config.txt",
        place: "partition 2",
    };

    fn conditions(board: Board, tryboot: bool, partition: u32) -> Conditions {
        Conditions {
            board,
            tryboot,
            partition: Some(partition),
        }
    }

    fn read(text: &str, conditions: &Conditions) -> Configuration {
        Configuration::read(text.as_bytes(), SOURCE, conditions).unwrap()
    }

    #[test]
    fn filters_of_one_kind_replace_each_other_and_those_of_different_kinds_combine() {
        let text = "kernel=all\n[pi3]\nkernel=three\n[pi5]\nkernel=five\n[boot_partition=3]\n\
                    kernel=five-three\n[pi4]\nkernel=four-three\n[all]\narm_64bit=1\r\n\
                    [board-type=0x17]\na=five\n[board-type=0x11]\na=four\n[all]\n[none]\na=none\n";
        let kernel = |board, partition| {
            let read = read(text, &conditions(board, false, partition));
            assert_eq!(read.get("arm_64bit"), Some("1"));
            (
                read.get("kernel").unwrap().to_owned(),
                read.get("a").unwrap().to_owned(),
            )
        };
        let pair = |kernel: &str, a: &str| (kernel.to_owned(), a.to_owned());
        assert_eq!(kernel(Board::Pi5, 2), pair("five", "five"));
        assert_eq!(kernel(Board::Pi5, 3), pair("five-three", "five"));
        assert_eq!(kernel(Board::Pi4, 2), pair("all", "four"));
        assert_eq!(kernel(Board::Pi4, 3), pair("four-three", "four"));
    }

    #[test]
    fn tryboot_selects_the_other_partition() {
        let text = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n";
        for (tryboot, partition) in [(false, "2"), (true, "3")] {
            let read = read(text, &conditions(Board::Pi5, tryboot, 1));
            assert_eq!(read.get("boot_partition"), Some(partition));
            assert!(read.is_set("tryboot_a_b", SOURCE).unwrap());
        }
    }

    #[test]
    fn initrds_and_overlays_have_forms_of_their_own() {
        let text = "initramfs a.img,b.img followkernel\ndtoverlay=one,param=1\ndtoverlay=\n\
                    dtoverlay=two\n";
        let read = read(text, &conditions(Board::Pi5, false, 2));
        assert_eq!(read.initrds(), ["a.img", "b.img"]);
        assert_eq!(read.overlays(), ["one", "two"]);
    }

    #[test]
    fn what_the_firmware_would_pass_over_or_cut_is_refused() {
        for (text, why) in [
            ("initramfs=initrd followkernel", "of the form"),
            ("initramfs initrd", "of the form"),
            ("kernel = vmlinuz", "blank beside"),
            ("kernel", "no setting"),
            ("include more.txt", "does not do"),
            ("[pi6]", "not known"),
            ("[pi5", "no ]"),
            ("[boot_partition=two]", "no partition"),
            ("kernel=\u{1b}[2J", "not plain"),
            (&format!("kernel={}", "x".repeat(100)), "longer than 98"),
        ] {
            let conditions = conditions(Board::Pi5, false, 2);
            let text = format!("a=1\n{text}\n");
            let refusal = Configuration::read(text.as_bytes(), SOURCE, &conditions).unwrap_err();
            let said = refusal.to_string();
            assert!(said.starts_with("line 2 of \"config.txt\" of partition 2"));
            assert!(said.contains(why), "{said}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, tryboot: bool) {
            let conditions = conditions(Board::Pi4, tryboot, 2);
            let _ = Configuration::read(&bytes, SOURCE, &conditions);
        }

        #[test]
        fn arbitrary_lines_never_panic(text in "([\\[a-z=]{1,4}[a-z0-9=x \\],]{0,9}\n){0,9}") {
            let _ = Configuration::read(text.as_bytes(), SOURCE, &conditions(Board::Pi5, false, 1));
        }
    }
}
