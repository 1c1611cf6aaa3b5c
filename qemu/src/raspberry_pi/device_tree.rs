//! A device tree, changed in a copy: what QEMU's machine has not is taken out of it. Form:
//! [Devicetree Specification](https://github.com/devicetree-org/devicetree-specification) 0.4,
//! chapter 5.
//!
//! Foreign bytes, as all that comes from an image: every number is checked before it is used. The
//! builder's own reader has no part in this.

use super::refusal::{Refusal, Result};

/// At the beginning.
const MAGIC: u32 = 0xd00d_feed;
/// The version that is read, and the oldest that it is compatible with.
const VERSION: u32 = 17;
const COMPATIBLE_VERSION: u32 = 16;
/// Length of the header: ten fields.
const HEADER: usize = 40;
/// Length of an entry of reserved memory.
const RESERVATION: usize = 16;
/// What the structure is made of.
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOTHING: u32 = 4;
const END: u32 = 9;

/// The longest name that is read, in bytes with the zero at its end.
const LONGEST_NAME: usize = 256;
/// How deep nodes may lie in each other.
const DEEPEST: usize = 64;
/// The largest that is read, in bytes: those of Raspberry Pis have 27 to 80 KB.
pub(super) const LARGEST: u64 = 2 << 20;

/// The property by which a node is disabled, and its value for that.
const STATUS: &str = "status";
const DISABLED: &[u8] = b"disabled\0";

/// A change to a node, which is named with its unit address and may lie anywhere: kernels differ in
/// the bus that they put it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The node is disabled.
    Disable(&'static str),
    /// It is left without these properties.
    Drop(&'static str, &'static [&'static str]),
}

impl Change {
    fn node(self) -> &'static str {
        match self {
            Self::Disable(node) | Self::Drop(node, _) => node,
        }
    }
}

/// What brings Linux up on QEMU's Raspberry Pi 4 with the board's own device tree.
pub(super) const RASPBERRY_PI_4: &[Change] = &[
    // QEMU has nothing at these addresses, and Linux panics when it looks for it.
    Change::Disable("clock@7ef00000"),
    Change::Disable("interrupt-controller@7ef00100"),
    Change::Disable("hdmi@7ef00700"),
    Change::Disable("hdmi@7ef05700"),
    Change::Disable("i2c@7ef04500"),
    Change::Disable("i2c@7ef09500"),
    Change::Disable("vec@7ec13000"),
    // Linux hangs when it opens the small UART. Without it the console is the other one.
    Change::Disable("serial@7e215040"),
    // The board's firmware switches the voltage of the card slot, which nobody plays there: its
    // controller would wait for it for ever.
    Change::Drop("mmc@7e340000", &["vqmmc-supply", "vmmc-supply"]),
    // On a board the wireless chip is here, and QEMU has the card here.
    Change::Drop("mmc@7e300000", &["mmc-pwrseq", "non-removable"]),
];

/// A device tree with changes made, and what was changed, a line each. What it does not have needs no
/// change, and is told too.
pub(super) fn change(bytes: &[u8], changes: &[Change]) -> Result<(Vec<u8>, Vec<String>)> {
    let damaged = |why| Refusal::DeviceTree(why);
    let field = |index: usize| number(bytes, index * 4).ok_or_else(|| damaged("it breaks off"));
    let (magic, total) = (field(0)?, field(1)? as usize);
    let (version, compatible) = (field(5)?, field(6)?);
    if magic != MAGIC || version < VERSION || compatible > VERSION {
        return Err(damaged("it is none of version 17"));
    }
    let bytes = bytes.get(..total).ok_or_else(|| damaged("it breaks off"))?;
    let block = |offset: u32, length: u32| {
        let start = offset as usize;
        let end = start.checked_add(length as usize);
        end.and_then(|end| bytes.get(start..end))
            .ok_or_else(|| damaged("a part lies outside of it"))
    };
    let mut editor = Editor {
        structure: block(field(2)?, field(9)?)?,
        at: 0,
        strings: block(field(3)?, field(8)?)?.to_vec(),
        out: Vec::new(),
        changes,
        notes: changes.iter().map(|_| Vec::new()).collect(),
    };
    let reserved = reserved(bytes, field(4)? as usize)?;
    editor.tree()?;

    let structure_offset = HEADER + reserved.len();
    let strings_offset = structure_offset + editor.out.len();
    let total = strings_offset + editor.strings.len();
    let header = [
        MAGIC,
        total as u32,
        structure_offset as u32,
        strings_offset as u32,
        HEADER as u32,
        VERSION,
        COMPATIBLE_VERSION,
        field(7)?,
        editor.strings.len() as u32,
        editor.out.len() as u32,
    ];
    let mut changed = Vec::with_capacity(total);
    changed.extend(header.into_iter().flat_map(u32::to_be_bytes));
    changed.extend(reserved);
    changed.extend(&editor.out);
    changed.extend(&editor.strings);
    Ok((changed, editor.log()))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// The list of reserved memory, up to the entry that is all zeros, with it.
fn reserved(bytes: &[u8], offset: usize) -> Result<&[u8]> {
    let list = bytes.get(offset..).unwrap_or_default();
    let entries = list.chunks_exact(RESERVATION);
    let last = entries
        .enumerate()
        .find(|(_, entry)| entry.iter().all(|byte| *byte == 0));
    match last {
        Some((at, _)) => Ok(&list[..(at + 1) * RESERVATION]),
        None => Err(Refusal::DeviceTree(
            "its list of reserved memory has no end",
        )),
    }
}

/// A node that has begun.
struct Open {
    path: String,
    /// The changes that are for it, by their numbers.
    changes: Vec<usize>,
}

/// What a change came to in a node that it is for.
struct Note {
    path: String,
    property: &'static str,
    /// Whether there was something to change.
    made: bool,
}

/// Copies a structure, token by token.
struct Editor<'a> {
    structure: &'a [u8],
    at: usize,
    strings: Vec<u8>,
    out: Vec<u8>,
    changes: &'a [Change],
    /// What each change came to.
    notes: Vec<Vec<Note>>,
}

impl<'a> Editor<'a> {
    fn number(&mut self) -> Result<u32> {
        let found = number(self.structure, self.at);
        self.at += 4;
        found.ok_or(Refusal::DeviceTree("its structure breaks off"))
    }

    /// Takes so many bytes, and what pads them to a multiple of four.
    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length);
        let bytes = end.and_then(|end| self.structure.get(self.at..end));
        let bytes = bytes.ok_or(Refusal::DeviceTree("its structure breaks off"))?;
        self.at = (self.at + length).next_multiple_of(4);
        Ok(bytes)
    }

    /// Takes a text that ends with a zero.
    fn node_name(&mut self) -> Result<&'a str> {
        let rest = self.structure.get(self.at..).unwrap_or_default();
        let name = self.bytes(text(rest)?.len() + 1)?;
        text(name)
    }

    fn put(&mut self, number: u32) {
        self.out.extend(number.to_be_bytes());
    }

    fn put_padded(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }

    fn put_property(&mut self, name: u32, value: &[u8]) {
        self.put(PROPERTY);
        self.put(value.len() as u32);
        self.put(name);
        self.put_padded(value);
    }

    /// Where a property's name is, which is added if it is nowhere.
    fn name(&mut self, name: &str) -> u32 {
        let wanted = [name.as_bytes(), b"\0"].concat();
        let found = self
            .strings
            .windows(wanted.len())
            .position(|own| own == wanted);
        let place = found.unwrap_or_else(|| {
            let end = self.strings.len();
            self.strings.extend(&wanted);
            end
        });
        place as u32
    }

    fn tree(&mut self) -> Result<()> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            match (self.number()?, open.last()) {
                (NOTHING, _) => {}
                (BEGIN_NODE, parent) => {
                    let parent = parent.map(|parent| parent.path.clone());
                    let node = self.begin(parent.as_deref())?;
                    open.push(node);
                    if open.len() > DEEPEST {
                        return Err(Refusal::DeviceTree("its nodes lie too deep"));
                    }
                }
                (PROPERTY, Some(node)) => self.property(node)?,
                (END_NODE, Some(_)) => {
                    self.put(END_NODE);
                    open.pop();
                }
                (END, None) => {
                    self.put(END);
                    return Ok(());
                }
                _ => return Err(Refusal::DeviceTree("its structure contradicts itself")),
            }
        }
    }

    fn begin(&mut self, parent: Option<&str>) -> Result<Open> {
        let name = self.node_name()?;
        let path = match parent {
            None => String::new(),
            Some(parent) => format!("{parent}/{name}"),
        };
        self.put(BEGIN_NODE);
        self.put_padded(&[name.as_bytes(), b"\0"].concat());
        let changes = self.changes.iter().enumerate();
        let changes: Vec<usize> = changes
            .filter_map(|(number, change)| (change.node() == name).then_some(number))
            .collect();
        for number in &changes {
            let mut note = |property, made| {
                self.notes[*number].push(Note {
                    path: path.clone(),
                    property,
                    made,
                });
            };
            match self.changes[*number] {
                Change::Disable(_) => {
                    note(STATUS, true);
                    // It comes first, in place of the one that the node may have.
                    let status = self.name(STATUS);
                    self.put_property(status, DISABLED);
                }
                Change::Drop(_, properties) => {
                    for property in properties {
                        note(property, false);
                    }
                }
            }
        }
        Ok(Open { path, changes })
    }

    fn property(&mut self, node: &Open) -> Result<()> {
        let length = self.number()? as usize;
        let place = self.number()?;
        let rest = self.strings.get(place as usize..).unwrap_or_default();
        let name = text(rest)?.to_owned();
        let value = self.bytes(length)?;
        for number in &node.changes {
            let notes = self.notes[*number].iter_mut();
            let mut own = notes.filter(|note| note.path == node.path && note.property == name);
            if let Some(note) = own.next() {
                note.made = name != STATUS || value != DISABLED;
                return Ok(());
            }
        }
        self.put_property(place, value);
        Ok(())
    }

    /// What was changed, and what there was nothing of.
    fn log(self) -> Vec<String> {
        let mut lines = Vec::new();
        for (change, notes) in self.changes.iter().zip(self.notes) {
            if notes.is_empty() {
                lines.push(format!("{}: is not there", change.node()));
            }
            lines.extend(notes.into_iter().map(|note| {
                let Note { path, property, .. } = note;
                match (change, note.made) {
                    (Change::Disable(_), true) => format!("{path}: disabled"),
                    (Change::Disable(_), false) => format!("{path}: is disabled as it is"),
                    (Change::Drop(..), true) => format!("{path}: without {property}"),
                    (Change::Drop(..), false) => format!("{path}: has no {property}"),
                }
            }));
        }
        lines
    }
}

/// The text at the beginning of bytes, up to a zero.
fn text(bytes: &[u8]) -> Result<&str> {
    let end = bytes.iter().take(LONGEST_NAME).position(|byte| *byte == 0);
    end.and_then(|end| std::str::from_utf8(&bytes[..end]).ok())
        .ok_or(Refusal::DeviceTree("a name in it is none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fortress_tests::tool;
    use proptest::prelude::*;
    use std::path::Path;
    use tempfile::TempDir;

    const SOURCE: &str = r#"
        /dts-v1/;
        /memreserve/ 0x0 0x1000;
        / {
            compatible = "raspberrypi,4-model-b", "brcm,bcm2711";
            #address-cells = <1>;
            #size-cells = <1>;
            soc {
                clock@7ef00000 { reg = <0x7ef00000 0x10>; };
                hdmi@7ef00700 { reg = <0x7ef00700 0x300>; status = "okay"; ddc = <&i2c>; };
                i2c: i2c@7ef04500 { reg = <0x7ef04500 0x100>; child { status = "okay"; }; };
                vec@7ec13000 { status = "disabled"; };
                serial@7e201000 { status = "okay"; };
                mmc@7e300000 { non-removable; bus-width = <4>; };
            };
            emmc2bus {
                mmc@7e340000 { vqmmc-supply = <&i2c>; vmmc-supply = <&i2c>; status = "okay"; };
            };
        };
    "#;

    /// Compiles a source.
    fn compiled(folder: &TempDir, source: &str) -> Vec<u8> {
        let [from, to] = ["source.dts", "tree.dtb"].map(|name| folder.path().join(name));
        std::fs::write(&from, source).unwrap();
        let [from, to] = [&from, &to].map(|path| path.to_str().unwrap());
        tool("dtc", &["-q", "-O", "dtb", "-o", to, from]);
        std::fs::read(to).unwrap()
    }

    /// A tree as dtc reads it, sorted.
    fn source(folder: &TempDir, tree: &[u8]) -> String {
        let file = folder.path().join("read.dtb");
        std::fs::write(&file, tree).unwrap();
        tool(
            "dtc",
            &["-q", "-s", "-I", "dtb", "-O", "dts", file.to_str().unwrap()],
        )
    }

    fn get(file: &Path, node: &str, property: &str) -> String {
        let said = tool(
            "fdtget",
            &["-d", "none", file.to_str().unwrap(), node, property],
        );
        said.trim().to_owned()
    }

    #[test]
    fn changes_are_made_and_told_and_nothing_else_changes() {
        let folder = tempfile::tempdir().unwrap();
        let original = compiled(&folder, SOURCE);
        let (changed, log) = change(&original, RASPBERRY_PI_4).unwrap();
        let file = folder.path().join("changed.dtb");
        std::fs::write(&file, &changed).unwrap();
        for (node, property, value) in [
            ("/soc/clock@7ef00000", "status", "disabled"),
            ("/soc/hdmi@7ef00700", "status", "disabled"),
            ("/soc/i2c@7ef04500", "status", "disabled"),
            ("/soc/i2c@7ef04500/child", "status", "okay"),
            ("/soc/vec@7ec13000", "status", "disabled"),
            ("/soc/serial@7e201000", "status", "okay"),
            ("/soc/mmc@7e300000", "non-removable", "none"),
            ("/soc/mmc@7e300000", "bus-width", "4"),
            ("/emmc2bus/mmc@7e340000", "vqmmc-supply", "none"),
            ("/emmc2bus/mmc@7e340000", "vmmc-supply", "none"),
            ("/emmc2bus/mmc@7e340000", "status", "okay"),
        ] {
            assert_eq!(get(&file, node, property), value, "{node} {property}");
        }
        assert_eq!(
            log,
            [
                "/soc/clock@7ef00000: disabled",
                "interrupt-controller@7ef00100: is not there",
                "/soc/hdmi@7ef00700: disabled",
                "hdmi@7ef05700: is not there",
                "/soc/i2c@7ef04500: disabled",
                "i2c@7ef09500: is not there",
                "/soc/vec@7ec13000: is disabled as it is",
                "serial@7e215040: is not there",
                "/emmc2bus/mmc@7e340000: without vqmmc-supply",
                "/emmc2bus/mmc@7e340000: without vmmc-supply",
                "/soc/mmc@7e300000: has no mmc-pwrseq",
                "/soc/mmc@7e300000: without non-removable",
            ]
        );
        // The same by the kernel's own tools.
        let by_hand = folder.path().join("by-hand.dtb");
        std::fs::write(&by_hand, &original).unwrap();
        let by_hand = by_hand.to_str().unwrap();
        for node in ["clock@7ef00000", "hdmi@7ef00700", "i2c@7ef04500"] {
            let node = format!("/soc/{node}");
            tool("fdtput", &["-t", "s", by_hand, &node, "status", "disabled"]);
        }
        tool(
            "fdtput",
            &["-d", by_hand, "/soc/mmc@7e300000", "non-removable"],
        );
        let card = "/emmc2bus/mmc@7e340000";
        tool(
            "fdtput",
            &["-d", by_hand, card, "vqmmc-supply", "vmmc-supply"],
        );
        let by_hand = std::fs::read(by_hand).unwrap();
        assert_eq!(source(&folder, &changed), source(&folder, &by_hand));
        // Without changes it stays what it is, and with them it can be changed again.
        let (same, log) = change(&original, &[]).unwrap();
        assert_eq!(source(&folder, &same), source(&folder, &original));
        assert!(log.is_empty());
        assert_eq!(change(&changed, RASPBERRY_PI_4).unwrap().0, changed);
    }

    #[test]
    fn what_is_no_device_tree_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let tree = compiled(&folder, SOURCE);
        let said = |bytes: &[u8]| change(bytes, &[]).unwrap_err().to_string();
        assert!(said(b"a device tree").contains("breaks off"));
        assert!(said(&[0; 64]).contains("none of version 17"));
        assert!(said(&tree[..tree.len() - 1]).contains("breaks off"));
        let mut outside = tree.clone();
        outside[8] = 0xff;
        assert!(said(&outside).contains("outside"));
        let nodes = "n { ".repeat(DEEPEST + 1) + &"}; ".repeat(DEEPEST + 1);
        let deep = compiled(&folder, &format!("/dts-v1/; / {{ {nodes} }};"));
        assert!(said(&deep).contains("too deep"));
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(
            changes in prop::collection::vec((0usize..1000, any::<u8>()), 1..6),
            end in 0usize..1000,
        ) {
            // A root with a node that is changed, put together by hand.
            let mut structure = Vec::new();
            for number in [BEGIN_NODE, 0, BEGIN_NODE] {
                structure.extend(number.to_be_bytes());
            }
            structure.extend(b"vec@7ec13000\0\0\0\0");
            for number in [PROPERTY, 9, 0] {
                structure.extend(number.to_be_bytes());
            }
            structure.extend(b"disabled\0\0\0\0");
            for number in [END_NODE, NOTHING, END_NODE, END] {
                structure.extend(number.to_be_bytes());
            }
            let length = structure.len() as u32;
            let mut bytes = Vec::new();
            for number in [MAGIC, 63 + length, 56, 56 + length, 40, 17, 16, 0, 7, length] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.extend([0; RESERVATION]);
            bytes.extend(structure);
            bytes.extend(b"status\0");
            let (_, log) = change(&bytes, &RASPBERRY_PI_4[6..7]).unwrap();
            prop_assert_eq!(log, ["/vec@7ec13000: is disabled as it is"]);
            for (place, value) in changes {
                let place = place % bytes.len();
                bytes[place] = value;
            }
            let _ = change(&bytes, RASPBERRY_PI_4);
            let _ = change(&bytes[..end % bytes.len()], RASPBERRY_PI_4);
        }
    }
}
