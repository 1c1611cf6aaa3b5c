//! What a program or library loads when it starts (System V gABI, chapter 5, "Dynamic Section").

use crate::elf::{Layout, Object, Refusal, string};

/// Tags of the dynamic section.
const NEEDED: u64 = 1;
const RUN_PATH_OLD: u64 = 15;
const RUN_PATH: u64 = 29;
/// Most libraries that a program may need, and most folders that it may name.
const MOST: usize = 4096;

/// What a program or library loads when it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// The dynamic loader (`.interp`), a path; libraries have none.
    pub interpreter: Option<String>,
    /// Libraries, by their own names (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// Folders that are searched first (`DT_RUNPATH`, `DT_RPATH`); `$ORIGIN` stands for its own.
    pub run_path: Vec<String>,
}

/// Reads it from the bytes of a file; none for what is no ELF file or loads nothing.
pub fn dynamic(bytes: &[u8]) -> Option<Dynamic> {
    read(bytes).ok().flatten()
}

fn read(bytes: &[u8]) -> Result<Option<Dynamic>, Refusal> {
    let layout = Layout::of(bytes)?;
    let object = Object::parse(bytes)?;
    let (Some(table), Some(strings)) = (object.section(".dynamic")?, object.section(".dynstr")?)
    else {
        return Ok(None);
    };
    let text = |at: usize| -> Result<String, Refusal> {
        String::from_utf8(string(strings, at)?.to_vec()).map_err(|_| "has a name that is not UTF-8")
    };
    let interpreter = match object.section(".interp")? {
        Some(path) => {
            let path = path.strip_suffix(b"\0").unwrap_or(path);
            Some(String::from_utf8_lossy(path).into_owned())
        }
        None => None,
    };
    let mut found = Dynamic {
        interpreter,
        ..Dynamic::default()
    };
    let width = if layout.wide { 8 } else { 4 };
    for entry in table.chunks_exact(2 * width) {
        let value = layout.address(entry, width)? as usize;
        match layout.address(entry, 0)? {
            0 => break,
            NEEDED => found.needed.push(text(value)?),
            RUN_PATH | RUN_PATH_OLD => {
                found
                    .run_path
                    .extend(text(value)?.split(':').map(str::to_owned));
            }
            _ => {}
        }
        if found.needed.len() > MOST || found.run_path.len() > MOST {
            return Err("needs more libraries than any program does");
        }
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fortress_tests::Oracle;

    #[test]
    fn tells_what_readelf_tells() {
        let root = Oracle::open();
        let read = |path: &str| dynamic(&std::fs::read(root.root().join(path)).unwrap()).unwrap();
        let systemd = read("usr/lib/systemd/systemd");
        assert_eq!(
            systemd.interpreter.as_deref(),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(systemd.run_path, ["/usr/lib/x86_64-linux-gnu/systemd"]);
        assert!(systemd.needed.contains(&"libc.so.6".to_owned()));
        let library = read("usr/lib/x86_64-linux-gnu/libc.so.6");
        assert_eq!(library.needed, ["ld-linux-x86-64.so.2"]);
        assert_eq!(dynamic(b"#!/bin/sh\n"), None);
    }
}
