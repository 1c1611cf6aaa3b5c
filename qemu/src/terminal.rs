//! This terminal as the guest's console, for a person.

use crate::error::{Error, Result};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ctrl-], as telnet has it.
const LEAVE: u8 = 0x1d;

/// The terminal, its keys going to the guest one by one. Dropping it puts it back as it was.
#[derive(Debug)]
pub(crate) struct Terminal {
    before: Option<Termios>,
    left: Arc<AtomicBool>,
}

impl Terminal {
    pub(crate) fn open(keyboard: Option<UnixStream>) -> Result<Self> {
        let input = std::io::stdin();
        let before = tcgetattr(&input).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&input, OptionalActions::Now, &raw)
                .map_err(|error| Error::file("set up", "the terminal")(error.into()))?;
        }
        let left = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&left);
        // It ends with the process at the latest: a read of the terminal cannot be called off.
        std::thread::spawn(move || {
            let Some(mut keyboard) = keyboard else { return };
            let mut buffer = [0; 256];
            while let Ok(count @ 1..) = std::io::stdin().read(&mut buffer) {
                let typed = &buffer[..count];
                let end = typed.iter().position(|byte| *byte == LEAVE);
                let typed = &typed[..end.unwrap_or(count)];
                if keyboard.write_all(typed).is_err() || end.is_some() {
                    break;
                }
            }
            flag.store(true, Ordering::Relaxed);
        });
        Ok(Self { before, left })
    }

    /// Whether the person left.
    pub(crate) fn left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Shows what the console printed. A terminal that is gone is no reason to end the machine.
    pub(crate) fn show(&mut self, bytes: &[u8]) {
        let mut output = std::io::stdout();
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
