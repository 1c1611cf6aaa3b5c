//! Names in a FAT directory: what may be one, and the short name that each long one has beside.

use std::collections::{HashMap, HashSet};

/// Longest long name, in UTF-16 units.
const LONGEST: usize = 255;
/// What a short name has besides letters and digits.
const SHORT_CHARACTERS: &str = "$%'-_@~`!(){}^#&";
/// Highest number in a tail (`~1`).
const HIGHEST_TAIL: u32 = 999_999;

/// Why a name cannot be one in FAT.
pub(super) fn refuse(name: &str) -> Option<String> {
    let forbidden = |character: char| character < ' ' || "\"*/:<>?\\|\x7f".contains(character);
    if let Some(character) = name.chars().find(|character| forbidden(*character)) {
        return Some(format!("its name has the character {character:?}"));
    }
    if name.ends_with(['.', ' ']) {
        return Some("its name ends with a dot or a space".into());
    }
    if name.encode_utf16().count() > LONGEST {
        return Some(format!("its name has over {LONGEST} characters"));
    }
    None
}

/// What a name is compared by: letters of either case are the same.
pub(super) fn folded(name: &str) -> String {
    name.to_uppercase()
}

/// A name's short form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShortName {
    /// Eight characters and an extension of three, padded with spaces.
    pub(super) bytes: [u8; 11],
    /// Whether it is the name itself, so that no long name is needed.
    pub(super) whole: bool,
}

/// The short names of a directory's names, in the same order; none where the numbers run out.
/// A name that is short already keeps it, whatever stands before it.
pub(super) fn short_names(names: &[&str]) -> Vec<Option<ShortName>> {
    let bases: Vec<Base> = names.iter().map(|name| Base::of(name)).collect();
    let kept = bases.iter().filter(|base| !base.lossy);
    let mut taken: HashSet<[u8; 11]> = kept.map(|base| base.padded(&base.stem)).collect();
    let mut tails: HashMap<(String, String), u32> = HashMap::new();
    let named = names.iter().zip(&bases);
    named
        .map(|(name, base)| {
            if !base.lossy {
                let bytes = base.padded(&base.stem);
                let whole = base.spelled() == **name;
                return Some(ShortName { bytes, whole });
            }
            let key = (base.stem.clone(), base.extension.clone());
            let tail = tails.entry(key).or_insert(0);
            loop {
                *tail += 1;
                if *tail > HIGHEST_TAIL {
                    return None;
                }
                let number = format!("~{tail}");
                let room = base.stem.len().min(8 - number.len());
                let bytes = base.padded(&format!("{}{number}", &base.stem[..room]));
                if taken.insert(bytes) {
                    let whole = false;
                    return Some(ShortName { bytes, whole });
                }
            }
        })
        .collect()
}

/// A name cut down to what a short name may have: ASCII, upper case.
struct Base {
    stem: String,
    extension: String,
    /// Whether more than the case of letters was lost.
    lossy: bool,
}

impl Base {
    fn of(name: &str) -> Self {
        let (stem, extension) = match name.rfind('.') {
            Some(dot) if dot > 0 => (&name[..dot], &name[dot + 1..]),
            _ => (name, ""),
        };
        let mut lossy = false;
        let mut cut = |text: &str, longest: usize| {
            let mut short = String::new();
            for character in text.chars() {
                if character == ' ' || character == '.' || short.len() == longest {
                    lossy = true;
                } else if character.is_ascii_alphanumeric() || SHORT_CHARACTERS.contains(character)
                {
                    short.push(character.to_ascii_uppercase());
                } else {
                    lossy = true;
                    short.push('_');
                }
            }
            short
        };
        let stem = cut(stem, 8);
        let extension = cut(extension, 3);
        Self {
            lossy: lossy || stem.is_empty(),
            stem,
            extension,
        }
    }

    fn padded(&self, stem: &str) -> [u8; 11] {
        let mut bytes = [b' '; 11];
        bytes[..stem.len()].copy_from_slice(stem.as_bytes());
        bytes[8..8 + self.extension.len()].copy_from_slice(self.extension.as_bytes());
        bytes
    }

    fn spelled(&self) -> String {
        match self.extension.is_empty() {
            true => self.stem.clone(),
            false => format!("{}.{}", self.stem, self.extension),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(names: &[&str]) -> Vec<String> {
        short_names(names)
            .into_iter()
            .map(|name| String::from_utf8(name.unwrap().bytes.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn short_names_are_as_other_systems_make_them() {
        let cases = [
            ("BOOTX64.EFI", "BOOTX64 EFI"),
            ("initrd.img", "INITRD  IMG"),
            ("config-6.12", "CONFIG-612 "),
            ("broadcom.dtb.old", "BROADC~1OLD"),
            (".hidden", "HIDDEN~1   "),
            ("naïve", "NA_VE~1    "),
            ("two words.txt", "TWOWOR~1TXT"),
        ];
        for (name, expected) in cases {
            assert_eq!(short(&[name]), [expected], "{name}");
        }
    }

    #[test]
    fn a_name_that_is_short_already_keeps_it() {
        assert_eq!(
            short(&["longname-1", "LONGNA~1", "longname-2"]),
            ["LONGNA~2   ", "LONGNA~1   ", "LONGNA~3   "]
        );
    }

    #[test]
    fn many_names_alike_stay_apart() {
        let names: Vec<_> = (0..10_000)
            .map(|i| format!("firmware-blob-{i}.bin"))
            .collect();
        let short = short(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(short.iter().collect::<HashSet<_>>().len(), names.len());
        assert_eq!(short[9_999], "FI~10000BIN");
    }

    #[test]
    fn what_fat_forbids_is_refused() {
        for name in ["a:b", "a\\b", "tab\t", "dot.", "space ", &"n".repeat(256)] {
            assert!(refuse(name).is_some(), "{name}");
        }
        for name in [
            "ordinary",
            "plus+and[brackets]",
            ".hidden",
            &"n".repeat(255),
        ] {
            assert_eq!(refuse(name), None);
        }
    }
}
