//! Watching a machine through the steps of its plan.

use crate::accelerator::Choice;
use crate::bench::Bench;
use crate::console::Log;
use crate::emulator::{Emulator, Event};
use crate::error::{Error, Result};
use crate::health::{self, HealthReport};
use crate::machine::{Architecture, Expectation, Firmware, RebootBy, Step, Typing};
use crate::patterns::{Effect, Finding, Judge};
use crate::report::{Boot, Times};
use crate::stage::{Progress, Stage};
use crate::terminal::Terminal;
use fortress_progress::{Observer, Stage as ObservedStage, Unit};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How a boot ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// With a report.
    Reported,
    /// With something that should have been a report.
    Malformed(String),
    /// With a line on the console after which nothing can come.
    Line(Finding),
    /// The guest restarted.
    Restarted,
    /// The guest switched itself off.
    WentDown,
    /// The emulator stopped the machine in this run state.
    Stopped(String),
    /// The emulator ended.
    EmulatorEnded(String),
    /// Nothing at all came from the machine.
    Silent,
    /// Time was up.
    Timeout,
    /// The button was pressed, and the guest did not go down.
    StayedUp,
    /// The person at the console left.
    Left,
}

/// What was seen of a machine from power-on to its end.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) boots: Vec<Boot>,
    pub(crate) end: End,
    pub(crate) findings: Vec<Finding>,
    /// Findings that fail the test and are too many to list.
    pub(crate) left_out: usize,
    /// Whether the boot loader enrolled the owner's keys.
    pub(crate) enrolled: bool,
    /// What was not typed, since the text that it was to follow did not come.
    pub(crate) untyped: Vec<Typing>,
    pub(crate) log: PathBuf,
    pub(crate) last_lines: Vec<String>,
}

impl Seen {
    /// Whether firmware or boot loader refused to start something.
    pub(crate) fn was_refused_by_firmware(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.pattern.starts_with("secure-boot-"))
    }
}

/// How long the console is listened to after the line that ends a boot, since its reasons follow.
const AFTERMATH: Duration = Duration::from_millis(1500);
/// How long it is listened to after a report.
const AFTER_REPORT: Duration = Duration::from_millis(300);
/// How long an altered image has to reach a passed report after verification failed.
const AFTER_CATCH: Duration = Duration::from_secs(10);
/// How long a machine under KVM may be silent before KVM is held for broken.
const SILENCE: Duration = Duration::from_secs(30);
/// How often a machine may restart before its kernel starts: firmware does, after a change of
/// its variables, and systemd-boot, when it has enrolled keys.
const FIRMWARE_RESTARTS: u32 = 2;
/// What systemd-boot says when it has enrolled the image's keys, before it restarts the machine.
const ENROLLED: &str = "Secure Boot keys successfully enrolled";
/// What the kernel's EFI stub says, with a verified kernel in its hands.
const SECURE_BOOT_ON: &str = "UEFI Secure Boot is enabled";
/// How long after a question the answer is typed: a program asks, and then listens.
const REACTION: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(200);

pub(crate) struct Watch<'a> {
    bench: &'a Bench<'a>,
    observer: &'a dyn Observer,
    stage: Box<dyn ObservedStage>,
    machine: Emulator,
    terminal: Option<Terminal>,
    choice: Choice,
    log: Log,
    judge: Judge,
    progress: Progress,
    /// When this boot's power came, in seconds since the first.
    began: f64,
    heard: bool,
    restarts: u32,
    /// How much of what is to be typed was typed.
    typed: usize,
    types_at: Option<Instant>,
    /// Whether what is to be typed answers a question whose line has no end yet.
    answered: bool,
    enrolled: Option<f64>,
    enrolled_ever: bool,
    /// Whether this boot's console said that Secure Boot is on.
    secure_boot: bool,
    health: Option<(f64, HealthReport)>,
    /// How this boot ends once `until` is reached.
    ending: Option<(Instant, End)>,
    went_down: bool,
    reset: bool,
    /// Whether the guest is to restart the machine by itself now.
    awaited: bool,
}

impl<'a> Watch<'a> {
    /// Starts the machine.
    pub(crate) fn start(
        bench: &'a Bench<'a>,
        choice: &Choice,
        observer: &'a dyn Observer,
    ) -> Result<Self> {
        let machine = bench.start(choice)?;
        let terminal = match bench.test.interactive {
            true => Some(Terminal::open(machine.keyboard())?),
            false => None,
        };
        Ok(Self {
            bench,
            observer,
            stage: observer.stage("boot", None, Unit::Items),
            machine,
            terminal,
            choice: choice.clone(),
            log: Log::create(&bench.path("serial.log"))?,
            judge: Judge::new(&bench.test.allowed_findings, *choice != Choice::Kvm),
            progress: Progress::new(is_direct(bench)),
            began: 0.0,
            heard: false,
            restarts: 0,
            typed: 0,
            types_at: None,
            answered: false,
            enrolled: None,
            enrolled_ever: false,
            secure_boot: false,
            health: None,
            ending: None,
            went_down: false,
            reset: false,
            awaited: false,
        })
    }

    /// Goes through the plan, as far as it gets.
    pub(crate) fn run(mut self) -> Result<Seen> {
        let mut boots = Vec::new();
        let mut end = End::Timeout;
        for step in &self.bench.test.plan {
            if let Step::Reboot(by) = step {
                match self.restart(*by)? {
                    None => self.begin(),
                    Some(failure) => {
                        end = failure;
                        break;
                    }
                }
            }
            end = self.boot()?;
            boots.push(self.boot_record());
            if end != End::Reported || !self.health.as_ref().is_some_and(|own| own.1.passed()) {
                break;
            }
        }
        if self.bench.test.screen {
            self.take_picture();
        }
        let (findings, left_out) = self.judge.findings();
        Ok(Seen {
            boots,
            end,
            findings,
            left_out,
            enrolled: self.enrolled_ever,
            untyped: self.bench.test.typed[self.typed..].to_vec(),
            log: self.log.path().to_owned(),
            last_lines: self.log.last_lines(),
        })
    }

    /// Watches one boot to its end.
    fn boot(&mut self) -> Result<End> {
        let begun = Instant::now();
        self.stage.doing(self.progress.stage().name());
        loop {
            if self.observer.cancelled() {
                return Err(Error::Cancelled);
            }
            match self.machine.next(TICK) {
                Some(event) => self.take(event)?,
                None if self.machine.ended().is_some() => {
                    let end = End::EmulatorEnded(self.machine.said());
                    self.end_in(Duration::ZERO, end);
                }
                None => {}
            }
            self.type_what_is_due();
            let now = Instant::now();
            let interactive = self.bench.test.interactive;
            if let Some((until, end)) = &self.ending {
                let stays = interactive && !matches!(end, End::EmulatorEnded(_) | End::WentDown);
                if now >= *until && !stays {
                    return Ok(end.clone());
                }
            }
            if self.terminal.as_ref().is_some_and(Terminal::left) {
                return Ok(if self.health.is_some() {
                    End::Reported
                } else {
                    End::Left
                });
            }
            if interactive || self.ending.is_some() {
                continue;
            }
            if self.choice == Choice::Kvm && !self.heard && now - begun > SILENCE {
                return Ok(End::Silent);
            }
            if now - begun > self.bench.test.timeout {
                return Ok(End::Timeout);
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Line(at, line) => self.take_line(at, &line)?,
            Event::Prompt(start) if !self.answered => {
                self.type_after(&start);
                self.answered = self.types_at.is_some();
            }
            Event::Prompt(_) => {}
            Event::Raw(bytes) => {
                if let Some(terminal) = &mut self.terminal {
                    terminal.show(&bytes);
                }
            }
            Event::Health(at, line) => self.take_report(at, line.as_deref()),
            Event::Control(message) => self.take_control(&message),
            Event::End => {
                // Its status and last words are there a moment after its sockets are gone.
                for _ in 0..50 {
                    if self.machine.ended().is_some() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                let end = End::EmulatorEnded(self.machine.said());
                self.end_in(Duration::ZERO, end);
            }
        }
        Ok(())
    }

    fn take_line(&mut self, at: Instant, line: &str) -> Result<()> {
        let seconds = self.machine.seconds(at);
        self.heard = true;
        if self.bench.test.machine.is_raspberry_pi()
            && let Some(report) = line.strip_prefix(health::ON_CONSOLE)
        {
            let note = format!("{}({} bytes)", health::ON_CONSOLE, report.len());
            self.log.add(seconds, &note)?;
            self.take_report(at, Some(report.as_bytes()));
            return Ok(());
        }
        self.log.add(seconds, line)?;
        // The line of a question that was answered comes once more, with the answer in it.
        if !std::mem::take(&mut self.answered) {
            self.type_after(line);
        }
        if line.contains(ENROLLED) {
            self.enrolled = Some(seconds - self.began);
            self.enrolled_ever = true;
        }
        self.secure_boot |= line.contains(SECURE_BOOT_ON);
        if let Some(stage) = self.progress.look(seconds - self.began, line) {
            self.stage.doing(stage.name());
        }
        let Some(finding) = self.judge.look(seconds, line) else {
            return Ok(());
        };
        if finding.allowed.is_some() {
            return Ok(());
        }
        let caught =
            self.bench.test.expectation == Expectation::Caught && finding.tells_of_verification();
        if finding.effect == Effect::Ends {
            self.end_in(AFTERMATH, End::Line(finding));
        } else if caught {
            self.end_in(AFTER_CATCH, End::Line(finding));
        }
        Ok(())
    }

    /// Sees to it that what is next is typed, if this is what it is to follow.
    fn type_after(&mut self, line: &str) {
        if let Some(next) = self.bench.test.typed.get(self.typed)
            && self.types_at.is_none()
            && line.contains(&next.after)
        {
            self.types_at = Some(Instant::now() + REACTION);
        }
    }

    fn type_what_is_due(&mut self) {
        if let Some(next) = self.bench.test.typed.get(self.typed)
            && self.types_at.is_some_and(|at| Instant::now() >= at)
        {
            self.types_at = None;
            self.typed += 1;
            self.machine.type_text(&next.text);
        }
    }

    fn take_report(&mut self, at: Instant, line: Option<&[u8]>) {
        let read = match line {
            Some(line) => HealthReport::read(line),
            None => Err(crate::health::Malformed::TooLong),
        };
        let seconds = self.machine.seconds(at) - self.began;
        match read {
            Ok(report) if self.health.is_none() => {
                self.health = Some((seconds, report));
                self.progress.reach(seconds, Stage::Reported);
                self.ending = Some((Instant::now() + AFTER_REPORT, End::Reported));
            }
            Ok(_) => self.end_in(
                AFTER_REPORT,
                End::Malformed("the guest reported twice".to_owned()),
            ),
            Err(error) => self.end_in(AFTER_REPORT, End::Malformed(error.to_string())),
        }
    }

    fn take_control(&mut self, message: &Value) {
        let by_guest = message["data"]["guest"].as_bool() == Some(true);
        match message["event"].as_str() {
            Some("RESET") if by_guest && self.awaited => self.reset = true,
            Some("RESET") if by_guest => {
                self.restarts += 1;
                // An arm64 machine that starts a kernel directly has no firmware at all.
                let arm = self.bench.test.architecture == Architecture::Aarch64;
                let kernel = arm && is_direct(self.bench) || self.progress.stage() >= Stage::Kernel;
                if kernel || self.restarts > FIRMWARE_RESTARTS {
                    self.end_in(Duration::ZERO, End::Restarted);
                } else {
                    self.progress = Progress::new(is_direct(self.bench));
                }
            }
            Some("RESET") => self.reset = true,
            Some("SHUTDOWN") => {
                self.went_down = true;
                self.end_in(AFTER_REPORT, End::WentDown);
            }
            Some("GUEST_PANICKED") => {
                self.end_in(AFTERMATH, End::Stopped("guest-panicked".to_owned()));
            }
            Some("STOP") => self.machine.command("query-status", json!({})),
            _ => {}
        }
        let answers = message["id"] == "query-status";
        match message["return"]["status"].as_str() {
            Some(state @ ("internal-error" | "io-error" | "guest-panicked")) if answers => {
                self.end_in(Duration::ZERO, End::Stopped(state.to_owned()));
            }
            _ => {}
        }
    }

    /// This boot ends so, unless something came first that ends it sooner. A line that ended the
    /// boot stays the reason, whatever follows from it.
    fn end_in(&mut self, wait: Duration, end: End) {
        let until = Instant::now() + wait;
        match &mut self.ending {
            Some((at, End::Line(_))) => *at = until.min(*at),
            Some((at, _)) if *at <= until => {}
            _ => self.ending = Some((until, end)),
        }
    }

    /// Brings the machine down and up again.
    fn restart(&mut self, by: RebootBy) -> Result<Option<End>> {
        self.stage.doing("the restart");
        self.ending = None;
        if by == RebootBy::PowerButton {
            self.machine.command("system_powerdown", json!({}));
            if let Some(end) = self.wait(|own| own.went_down)? {
                return Ok(Some(if end == End::Timeout {
                    End::StayedUp
                } else {
                    end
                }));
            }
        }
        self.reset = false;
        if by == RebootBy::Guest {
            self.awaited = true;
            let end = self.wait(|own| own.reset)?;
            self.awaited = false;
            return Ok(end.map(|end| match end {
                End::Timeout => End::StayedUp,
                end => end,
            }));
        }
        if self.bench.test.machine.is_raspberry_pi() && self.terminal.is_none() {
            // QEMU's Raspberry Pis do not always come out of a reset, so this one's plug is pulled.
            self.machine.quit();
            let mut machine = self.bench.start_again(&self.choice)?;
            machine.continue_clock(&self.machine);
            self.machine = machine;
            return Ok(None);
        }
        self.machine.command("system_reset", json!({}));
        if let Some(end) = self.wait(|own| own.reset)? {
            return Ok(Some(end));
        }
        self.machine.command("cont", json!({}));
        Ok(None)
    }

    /// Waits, within a step's time, for something that events bring; gives the end if one came
    /// instead.
    fn wait(&mut self, done: impl Fn(&Self) -> bool) -> Result<Option<End>> {
        let begun = Instant::now();
        while !done(self) {
            if self.observer.cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(event) = self.machine.next(TICK) {
                self.take(event)?;
            }
            match &self.ending {
                Some((until, end)) if *end != End::WentDown && Instant::now() >= *until => {
                    return Ok(Some(end.clone()));
                }
                _ => {}
            }
            if begun.elapsed() > self.bench.test.timeout {
                return Ok(Some(End::Timeout));
            }
        }
        Ok(None)
    }

    /// Forgets what belongs to the boot before.
    fn begin(&mut self) {
        self.began = self.machine.seconds(Instant::now());
        self.progress = Progress::new(is_direct(self.bench));
        self.health = None;
        self.ending = None;
        self.went_down = false;
        self.restarts = 0;
        self.enrolled = None;
        self.secure_boot = false;
    }

    fn boot_record(&self) -> Boot {
        // The guest's own clock is exact; the console of a quiet kernel tells late or nothing.
        let kernel = self
            .health
            .as_ref()
            .map(|(seconds, report)| (seconds - report.times.report as f64 / 1000.0, report.times));
        let since = |milliseconds: fn(&crate::health::GuestTimes) -> u64| {
            kernel
                .filter(|(_, times)| milliseconds(times) > 0)
                .map(|(start, times)| start + milliseconds(&times) as f64 / 1000.0)
        };
        let seen = |stage| self.progress.when(stage);
        let user_space = since(|times| times.user_space).or(seen(Stage::UserSpace));
        // An initrd that is silent leaves the root's greeting to be taken for its own.
        let initrd = since(|times| times.initrd)
            .or(seen(Stage::Initrd))
            .filter(|initrd| user_space.is_none_or(|user_space| *initrd < user_space));
        Boot {
            times: Times {
                enrolled: self.enrolled,
                handover: seen(Stage::BootLoader),
                kernel: kernel.map(|own| own.0.max(0.0)).or(seen(Stage::Kernel)),
                initrd,
                user_space,
                report: self.health.as_ref().map(|own| own.0),
            },
            secure_boot: self.secure_boot
                || self
                    .health
                    .as_ref()
                    .is_some_and(|own| own.1.says_secure_boot()),
            health: self.health.as_ref().map(|own| own.1.clone()),
            stage: self.progress.tell(),
        }
    }

    /// Keeps what the screen shows; without a picture the test is as good.
    fn take_picture(&mut self) {
        let file = self.bench.path("screen.ppm");
        self.machine
            .command("screendump", json!({"filename": file.to_string_lossy()}));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            match self.machine.next(TICK) {
                Some(Event::Control(message)) if message["id"] == "screendump" => return,
                _ => {}
            }
        }
    }
}

fn is_direct(bench: &Bench<'_>) -> bool {
    matches!(bench.test.firmware, Firmware::Direct { .. })
}
