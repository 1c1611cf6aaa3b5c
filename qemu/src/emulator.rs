//! A running QEMU: its process and the three sockets to it.
//!
//! The sockets are pairs that the child inherits, so none has a path: nothing is left over, no
//! path is too long, and no one else can connect. Control (QMP) is the child's standard input,
//! the guest's serial console its standard output, the health port a descriptor of its own.

use crate::console::Splitter;
use crate::error::{Error, Result};
use crate::health;
use crate::program;
use crate::tpm::{RunningTpm, TpmStart};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What the machine tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// A line on the serial console.
    Line(Instant, String),
    /// The start of a line that has no end yet, such as a question.
    Prompt(String),
    /// What the serial console printed, as it is, when it is to be shown.
    Raw(Vec<u8>),
    /// A line on the health port; `None` when it was too long.
    Health(Instant, Option<Vec<u8>>),
    /// An event or answer of the emulator.
    Control(Value),
    /// The emulator closed its control socket: it is ending.
    End,
}

/// How many events may wait to be judged before the machine has to wait.
const WAITING: usize = 4096;
/// How long an emulator may take to write what it holds, before it is killed.
const LONGEST_QUIT: Duration = Duration::from_secs(30);
/// The longest message of the emulator, in bytes.
const LONGEST_MESSAGE: u64 = 1 << 20;

/// Held while a descriptor can be inherited, so that no other machine inherits it.
static INHERITING: Mutex<()> = Mutex::new(());

/// A machine. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Emulator {
    child: Child,
    control: UnixStream,
    console: UnixStream,
    events: Receiver<Event>,
    readers: Vec<JoinHandle<()>>,
    errors: PathBuf,
    power_on: Instant,
    /// It outlives the emulator, which is ended first.
    _tpm: Option<RunningTpm>,
}

/// What a machine is started with.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// The machine's TPM, and the device's arguments.
    pub(crate) tpm: Option<(TpmStart, &'static str)>,
    /// Where the emulator's own words go.
    pub(crate) errors: PathBuf,
    /// The serial line that is the console, which is character device `console`.
    pub(crate) console: &'static [&'static str],
    /// Whether the machine has a port for the health report.
    pub(crate) health_port: bool,
    /// Whether the console's bytes are wanted too.
    pub(crate) raw: bool,
    /// Whether lines are wanted before they end.
    pub(crate) prompts: bool,
}

impl Emulator {
    /// Starts the machine, and lets it run.
    pub(crate) fn start(start: Start<'_>) -> Result<Self> {
        let (control, control_inside) = pair()?;
        let (console, console_inside) = pair()?;
        let (port, port_inside) = pair()?;
        let errors = File::create(&start.errors).map_err(Error::file("create", &start.errors))?;
        let mut command = program::bound(start.program);
        command
            .arg("-S")
            .args(["-chardev", "socket,id=control,fd=0"])
            .args(["-mon", "chardev=control,mode=control"])
            .args(["-chardev", "socket,id=console,fd=1"])
            .args(start.console)
            .args(&start.arguments)
            .stdin(OwnedFd::from(control_inside))
            .stdout(OwnedFd::from(console_inside))
            .stderr(errors)
            .process_group(0);
        if start.health_port {
            command
                .arg("-chardev")
                .arg(format!("socket,id=health,fd={}", port_inside.as_raw_fd()))
                .args(["-device", "virtio-serial-pci"])
                .args([
                    "-device",
                    "virtserialport,chardev=health,name=fortress.health",
                ]);
        }
        let mut inherited = vec![port_inside];
        let tpm = match &start.tpm {
            Some((tpm, device)) => {
                let (running, socket) = RunningTpm::start(tpm)?;
                command
                    .arg("-chardev")
                    .arg(format!("socket,id=tpm,fd={}", socket.as_raw_fd()))
                    .args(["-tpmdev", "emulator,id=tpm,chardev=tpm"])
                    .args(["-device", device]);
                inherited.push(socket);
                Some(running)
            }
            None => None,
        };
        let child = {
            let _guard = INHERITING
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            for socket in &inherited {
                rustix::io::fcntl_setfd(socket.as_fd(), rustix::io::FdFlags::empty()).map_err(
                    |error| Error::file("share a socket with", start.program)(error.into()),
                )?;
            }
            let child = command
                .spawn()
                .map_err(Error::file("start", start.program))?;
            drop(inherited);
            child
        };
        drop(command);
        let (sender, events) = sync_channel(WAITING);
        let mut machine = Self {
            child,
            control,
            console,
            events,
            readers: Vec::new(),
            errors: start.errors,
            power_on: Instant::now(),
            _tpm: tpm,
        };
        machine.listen(port, sender, start.raw, start.prompts)?;
        machine.command("qmp_capabilities", json!({}));
        machine.command("cont", json!({}));
        Ok(machine)
    }

    /// Starts the threads that turn the sockets' bytes into events.
    fn listen(
        &mut self,
        port: UnixStream,
        sender: SyncSender<Event>,
        raw: bool,
        prompts: bool,
    ) -> Result<()> {
        let clone = |socket: &UnixStream| {
            socket
                .try_clone()
                .map_err(Error::file("listen to", "the emulator"))
        };
        let control = clone(&self.control)?;
        let console = clone(&self.console)?;
        let other = sender.clone();
        self.readers
            .push(std::thread::spawn(move || read_control(control, &other)));
        let other = sender.clone();
        self.readers.push(std::thread::spawn(move || {
            read_console(console, &other, raw, prompts)
        }));
        self.readers
            .push(std::thread::spawn(move || read_health(port, &sender)));
        Ok(())
    }

    /// The next event; `None` when none came in time.
    pub(crate) fn next(&self, wait: Duration) -> Option<Event> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::End),
        }
    }

    /// Gives the emulator a command. Its answer is an event; if it is ending, there is none, and
    /// its end is the event to look at.
    pub(crate) fn command(&mut self, name: &str, arguments: Value) {
        let mut line = json!({"execute": name, "arguments": arguments, "id": name}).to_string();
        line.push('\n');
        let _ = self.control.write_all(line.as_bytes());
    }

    /// Types on the guest's console. If the machine is ending, its end is the event to look at.
    pub(crate) fn type_text(&mut self, text: &str) {
        let _ = self.console.write_all(text.as_bytes());
    }

    /// A socket to type on the guest's console.
    pub(crate) fn keyboard(&self) -> Option<UnixStream> {
        self.console.try_clone().ok()
    }

    /// Seconds from power-on to an instant.
    pub(crate) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.power_on).as_secs_f64()
    }

    /// Ends the machine in order: what the emulator holds of its disks is written. What else it has
    /// to tell is dropped.
    pub(crate) fn quit(&mut self) {
        self.command("quit", json!({}));
        let begun = Instant::now();
        while self.ended().is_none() && begun.elapsed() < LONGEST_QUIT {
            // A reader that has something to tell would wait, and the emulator for it.
            while self.events.try_recv().is_ok() {}
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Counts seconds from the time when another machine was powered on.
    pub(crate) fn continue_clock(&mut self, other: &Self) {
        self.power_on = other.power_on;
    }

    /// How the emulator ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What the emulator said on standard error: its last line, or how it ended.
    pub(crate) fn said(&mut self) -> String {
        let text = std::fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        match (text.trim().lines().last(), self.ended()) {
            (Some(last), _) => last.chars().take(200).collect(),
            (None, Some(status)) => format!("nothing, and ended with {status}"),
            (None, None) => "nothing".to_owned(),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Readers may wait to hand over an event that nobody will take.
        let (_, nothing) = sync_channel(0);
        self.events = nothing;
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

fn pair() -> Result<(UnixStream, UnixStream)> {
    UnixStream::pair().map_err(Error::file("make a socket for", "the emulator"))
}

fn read_control(socket: UnixStream, sender: &SyncSender<Event>) {
    let mut reader = BufReader::new(socket);
    loop {
        let mut line = Vec::new();
        match (&mut reader)
            .take(LONGEST_MESSAGE)
            .read_until(b'\n', &mut line)
        {
            Ok(count) if count > 0 => {}
            _ => break,
        }
        let Ok(message) = serde_json::from_slice(&line) else {
            continue;
        };
        if sender.send(Event::Control(message)).is_err() {
            return;
        }
    }
    let _ = sender.send(Event::End);
}

fn read_console(mut socket: UnixStream, sender: &SyncSender<Event>, raw: bool, prompts: bool) {
    let mut splitter = Splitter::default();
    let mut buffer = [0; 8192];
    let mut sent = true;
    while sent {
        let count = match socket.read(&mut buffer) {
            Ok(count) if count > 0 => count,
            _ => break,
        };
        let now = Instant::now();
        if raw {
            sent = sender.send(Event::Raw(buffer[..count].to_vec())).is_ok();
        }
        splitter.push(&buffer[..count], |line| {
            sent = sent && sender.send(Event::Line(now, line)).is_ok();
        });
        if prompts && let Some(start) = splitter.unfinished() {
            sent = sent && sender.send(Event::Prompt(start)).is_ok();
        }
    }
    if let Some(line) = splitter.take() {
        let _ = sender.send(Event::Line(Instant::now(), line));
    }
}

fn read_health(socket: UnixStream, sender: &SyncSender<Event>) {
    let mut reader = BufReader::new(socket);
    let mut too_long = false;
    loop {
        let mut line = Vec::new();
        match (&mut reader)
            .take(health::LONGEST as u64 + 1)
            .read_until(b'\n', &mut line)
        {
            Ok(count) if count > 0 => {}
            _ => return,
        }
        let whole = line.last() == Some(&b'\n');
        // Of a line that is too long the first piece is told, the rest is dropped.
        let sent = match (whole, too_long) {
            (true, false) => sender.send(Event::Health(Instant::now(), Some(line))),
            (false, false) => sender.send(Event::Health(Instant::now(), None)),
            (_, true) => Ok(()),
        };
        too_long = !whole;
        if sent.is_err() {
            return;
        }
    }
}
