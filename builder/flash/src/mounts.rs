//! What is mounted, and what memory is swapped to, as the kernel tells it: `proc(5)`.

use std::path::PathBuf;

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Number of the device, `major:minor`; of some file systems (btrfs) it is no disk's.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// What it was mounted from: a path of a device, or anything.
    pub(crate) source: String,
}

/// Reads `/proc/self/mountinfo`; lines of another form are left out.
pub(crate) fn mounts(text: &str) -> Vec<Mount> {
    let read = |line: &str| {
        let mut fields = line.split(' ');
        let device = fields.nth(2)?.to_owned();
        let point = fields.nth(1)?;
        let (_, tail) = line.split_once(" - ")?;
        Some(Mount {
            device,
            point: unescaped(point).into(),
            source: unescaped(tail.split(' ').nth(1)?),
        })
    };
    text.lines().filter_map(read).collect()
}

/// The paths in `/proc/swaps`.
pub(crate) fn swaps(text: &str) -> Vec<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(unescaped)
        .collect()
}

/// Blanks and the like are written as three octal digits behind a backslash.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = (first == b'\\').then(|| after.get(..3)).flatten();
        let value = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match value {
            Some(value) => {
                bytes.push(value);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let text = "36 35 98:0 /mnt1 /media/my\\040stick rw,noatime master:1 - ext3 /dev/sdb1 rw\n\
                    27 1 0:44 / / rw shared:1 - btrfs /dev/mapper/root rw,subvol=/\nnonsense\n";
        let read = mounts(text);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].device, "98:0");
        assert_eq!(read[0].point, PathBuf::from("/media/my stick"));
        assert_eq!(read[1].source, "/dev/mapper/root");
        let text = "Filename\t\tType\t\tSize\n/dev/dm-1 partition 12\n/swap\\040file file 3\n";
        assert_eq!(swaps(text), ["/dev/dm-1", "/swap file"]);
    }

    proptest! {
        #[test]
        fn no_text_stops_the_readers(text in ".*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            mounts(&text);
            swaps(&text);
            let text = String::from_utf8_lossy(&bytes);
            mounts(&text);
            unescaped(&text);
        }
    }
}
