//! Passphrases: from the terminal, where they are not shown, or from a file descriptor. Never from an
//! argument or the environment, which others can see.

use crate::options::Global;
use fortress_trust::{Error, Passphrase};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::fs::File;
use std::io::{self, Read, Write};

/// Most bytes of a passphrase.
const LONGEST: usize = 1024;
const TERMINAL: &str = "/dev/tty";
/// What keys send in raw mode.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const KILL_LINE: u8 = 21;
const DELETE: u8 = 127;

/// The passphrase of keys that there are.
pub(crate) fn of_keys(global: &Global) -> fortress_trust::Result<Passphrase> {
    match global.passphrase_fd {
        Some(number) => from_descriptor(number),
        None => ask("Passphrase of your keys: "),
    }
}

/// A passphrase for keys that are to be made: typed twice, or from a file descriptor.
pub(crate) fn new(global: &Global) -> fortress_trust::Result<Passphrase> {
    let passphrase = match global.passphrase_fd {
        Some(number) => from_descriptor(number)?,
        None => {
            let first = ask("Passphrase for your keys: ")?;
            if ask("Once more: ")? != first {
                return Err(Error::Passphrase("the two are not the same".into()));
            }
            first
        }
    };
    match passphrase.bytes().is_empty() {
        true => Err(Error::Passphrase("it is empty".into())),
        false => Ok(passphrase),
    }
}

/// Up to the end of the first line.
fn from_descriptor(number: u32) -> fortress_trust::Result<Passphrase> {
    let failed = |error: io::Error| Error::Passphrase(format!("file descriptor {number}: {error}"));
    let mut bytes = Vec::with_capacity(LONGEST + 2);
    File::open(format!("/dev/fd/{number}"))
        .map_err(failed)?
        .take(LONGEST as u64 + 2)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    // From here on it is wiped, and without what follows the line.
    let whole = Passphrase::new(bytes);
    let line = whole.bytes().split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.len() <= LONGEST {
        true => Ok(Passphrase::new(line.to_vec())),
        false => Err(too_long()),
    }
}

fn too_long() -> Error {
    Error::Passphrase(format!("it is longer than {LONGEST} bytes"))
}

/// Asks on the terminal, without showing what is typed.
fn ask(prompt: &str) -> fortress_trust::Result<Passphrase> {
    let failed = |error: io::Error| {
        let advice = "--passphrase-fd takes it from elsewhere";
        Error::Passphrase(format!(
            "there is no terminal to ask on ({error}); {advice}"
        ))
    };
    let mut terminal = File::options()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .map_err(failed)?;
    let typed = {
        let hidden = Hidden::new(&terminal).map_err(failed)?;
        let mut terminal = hidden.terminal;
        terminal.write_all(prompt.as_bytes()).map_err(failed)?;
        read_line(&mut terminal)
    };
    terminal.write_all(b"\n").map_err(failed)?;
    typed
}

/// Reads keys up to Enter; the line editing that the terminal does otherwise is done here.
fn read_line(keys: &mut impl Read) -> fortress_trust::Result<Passphrase> {
    let mut line = Vec::with_capacity(LONGEST);
    loop {
        let mut key = [0];
        let read = match keys.read(&mut key) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Passphrase(error.to_string())),
            Ok(read) => read,
        };
        match key[0] {
            _ if read == 0 => return Err(Error::Cancelled),
            b'\r' | b'\n' => return Ok(Passphrase::new(line)),
            INTERRUPT => return Err(Error::Cancelled),
            END if line.is_empty() => return Err(Error::Cancelled),
            BACKSPACE | DELETE => {
                // The last character, which in UTF-8 may be several bytes.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            KILL_LINE => line.clear(),
            _ if line.len() == LONGEST => return Err(too_long()),
            byte => line.push(byte),
        }
    }
}

/// A terminal that does not show what is typed, for as long as this lives.
struct Hidden<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut raw = before.clone();
        // Signals too: one that ends the program would leave the terminal blind.
        raw.local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed ahead was typed for somebody else.
        tcsetattr(terminal, OptionalActions::Flush, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Result<Vec<u8>, String> {
        read_line(&mut &*keys)
            .map(|passphrase| passphrase.bytes().to_vec())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn lines_are_edited_as_on_a_terminal() {
        assert_eq!(typed(b"horse\r").unwrap(), b"horse");
        assert_eq!(typed(b"horse\n").unwrap(), b"horse");
        assert_eq!(typed(b"hoo\x7frse\n").unwrap(), b"horse");
        assert_eq!(typed("h\u{e4}\u{8}orse\n".as_bytes()).unwrap(), b"horse");
        assert_eq!(typed(b"cow\x15horse\n").unwrap(), b"horse");
        assert_eq!(typed(b"\x7f\x7fhorse\n").unwrap(), b"horse");
    }

    #[test]
    fn giving_up_is_not_an_empty_passphrase() {
        for keys in [&b"hor\x03se\n"[..], b"\x04", b"hor"] {
            assert_eq!(typed(keys).unwrap_err(), "interrupted");
        }
        assert!(typed(&[b'x'; LONGEST + 1]).unwrap_err().contains("longer"));
    }
}
