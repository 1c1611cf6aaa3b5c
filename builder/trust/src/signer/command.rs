//! A command that signs: how a token, a card or a key service is used.

use super::{Request, Signer};
use crate::{Error, PublicKey, Result};
use fortress_progress::Observer;
use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often somebody who interrupts is listened to, while a command works.
const PATIENCE: Duration = Duration::from_millis(50);

/// Starts a command for each signature.
///
/// It gets the payload on standard input and answers with the signature alone, in raw bytes, on
/// standard output. `FORTRESS_ROLE` and `FORTRESS_ALGORITHM` in its environment say whose and what.
/// Its standard error is the user's: it may ask there for a touch or a PIN.
pub struct CommandSigner<'a> {
    command: &'a [String],
    public: &'a PublicKey,
    observer: &'a dyn Observer,
    /// Tokens seldom take two requests at once.
    one_at_a_time: Mutex<()>,
}

impl<'a> CommandSigner<'a> {
    /// Signs by this command (a program and its arguments). Signatures that `public` does not accept
    /// are errors.
    pub fn new(command: &'a [String], public: &'a PublicKey, observer: &'a dyn Observer) -> Self {
        Self {
            command,
            public,
            observer,
            one_at_a_time: Mutex::new(()),
        }
    }

    fn run(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        let failed = |reason: String| Error::Command {
            role: request.role,
            what: request.what.to_owned(),
            command: self.command.first().cloned().unwrap_or_default(),
            reason,
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(failed("is empty".into()));
        };
        let algorithm = request.role.algorithm();
        let mut child = Command::new(program)
            .args(arguments)
            .env("FORTRESS_ROLE", request.role.name())
            .env("FORTRESS_ALGORITHM", algorithm.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot be started: {error}")))?;
        if let Some(mut input) = child.stdin.take() {
            // Whether it reads its input is its own affair: the signature tells.
            let _ = input.write_all(request.payload);
        }
        let wanted = algorithm.signature_length();
        let output = self.listen(&mut child, wanted + 1)?;
        let status = loop {
            if self.observer.cancelled() {
                return Err(stop(&mut child));
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => thread::sleep(PATIENCE / 10),
                Err(error) => return Err(failed(format!("cannot be waited for: {error}"))),
            }
        };
        if !status.success() {
            return Err(failed(format!("failed: {status}")));
        }
        if output.len() > wanted {
            return Err(failed(format!(
                "wrote more than the {wanted} bytes of a signature"
            )));
        }
        if output.len() < wanted {
            return Err(failed(format!(
                "wrote {} bytes, and a signature has {wanted}",
                output.len()
            )));
        }
        Ok(output)
    }

    /// What the command writes, up to a limit.
    fn listen(&self, child: &mut Child, limit: usize) -> Result<Vec<u8>> {
        let (sender, receiver) = mpsc::channel();
        if let Some(output) = child.stdout.take() {
            // Not joined: whoever holds the other end, perhaps a child of the child, may never end.
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = output.take(limit as u64).read_to_end(&mut bytes);
                let _ = sender.send(bytes);
            });
        }
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(bytes) => return Ok(bytes),
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
                Err(RecvTimeoutError::Timeout) if self.observer.cancelled() => {
                    return Err(stop(child));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Ends a command that nobody waits for any more.
fn stop(child: &mut Child) -> Error {
    // It may have ended by itself in the meantime.
    let _ = child.kill();
    let _ = child.wait();
    Error::Cancelled
}

impl Signer for CommandSigner<'_> {
    fn sign(&self, request: &Request<'_>) -> Result<Vec<u8>> {
        request.check()?;
        let _turn = self
            .one_at_a_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let signature = self.run(request)?;
        match self.public.accepts(request.payload, &signature) {
            true => Ok(signature),
            false => Err(Error::WrongSignature {
                role: request.role,
                what: request.what.to_owned(),
            }),
        }
    }
}

impl fmt::Debug for CommandSigner<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CommandSigner")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}
