//! Progress on standard error: bars on a terminal, plain lines elsewhere, JSON lines on request.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fortress_progress::{Observer, Stage, Unit};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;

/// Plain lines tell how far a stage is at most this often.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// JSON lines tell how far a stage is at most this often.
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// How often a bar is drawn when nothing happens: its clock goes on.
const TICK: Duration = Duration::from_millis(250);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Warnings only.
    Quiet,
    /// Plain lines.
    Lines,
    /// Bars, in place.
    Bars,
    /// A JSON object a line.
    Json,
}

/// How progress is shown, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) form: Form,
    /// Colours may be used.
    pub(crate) colour: bool,
    /// Everything that is worked on gets a line.
    pub(crate) verbose: bool,
}

/// What decides on the mode.
#[derive(Debug, Clone, Copy, Default)]
struct Surroundings<'a> {
    terminal: bool,
    /// `TERM`.
    kind: Option<&'a str>,
    /// `NO_COLOR` (no-color.org).
    no_colour: Option<&'a str>,
}

impl Mode {
    /// What fits standard error and the environment.
    pub(crate) fn detect(quiet: bool, verbose: bool, json: bool) -> Self {
        let (kind, no_colour) = (std::env::var("TERM"), std::env::var("NO_COLOR"));
        let surroundings = Surroundings {
            terminal: io::stderr().is_terminal(),
            kind: kind.as_deref().ok(),
            no_colour: no_colour.as_deref().ok(),
        };
        Self::choose(quiet, verbose, json, surroundings)
    }

    fn choose(quiet: bool, verbose: bool, json: bool, surroundings: Surroundings<'_>) -> Self {
        let able = surroundings.terminal
            && surroundings
                .kind
                .is_some_and(|kind| !matches!(kind, "" | "dumb"));
        let form = match (quiet, json) {
            (true, _) => Form::Quiet,
            (false, true) => Form::Json,
            (false, false) if able => Form::Bars,
            (false, false) => Form::Lines,
        };
        Self {
            form,
            colour: able && !json && surroundings.no_colour.is_none_or(str::is_empty),
            verbose,
        }
    }
}

/// Shows progress on standard error.
pub(crate) struct Terminal {
    shared: Arc<Shared>,
}

/// What the stages under way share.
struct Shared {
    mode: Mode,
    output: Mutex<Box<dyn Write + Send>>,
    bars: MultiProgress,
    stop: Arc<AtomicBool>,
    stages: AtomicU64,
    /// When a plain progress line was last written.
    line: Mutex<Option<Instant>>,
}

impl Terminal {
    /// Shows progress this way.
    pub(crate) fn new(mode: Mode) -> Self {
        Self::on(
            mode,
            Box::new(io::stderr()),
            ProgressDrawTarget::stderr_with_hz(10),
        )
    }

    fn on(mode: Mode, output: Box<dyn Write + Send>, bars: ProgressDrawTarget) -> Self {
        Self {
            shared: Arc::new(Shared {
                mode,
                output: Mutex::new(output),
                bars: MultiProgress::with_draw_target(bars),
                stop: Arc::default(),
                stages: AtomicU64::new(0),
                line: Mutex::new(None),
            }),
        }
    }

    /// From now on Ctrl-C (or SIGTERM) asks the work to stop, and a second one ends the program
    /// at once.
    pub(crate) fn stop_on_signals(&self) -> io::Result<()> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
            let stop = || Arc::clone(&self.shared.stop);
            // In this order: the first signal finds the flag still down.
            signal_hook::flag::register_conditional_shutdown(signal, code, stop())?;
            signal_hook::flag::register(signal, stop())?;
        }
        Ok(())
    }
}

impl Observer for Terminal {
    fn stage(&self, name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Stage> {
        let shared = &self.shared;
        let stage = Running {
            number: shared.stages.fetch_add(1, Ordering::Relaxed) + 1,
            name: name.into(),
            total,
            unit,
            done: AtomicU64::new(0),
            begin: Instant::now(),
            told: AtomicU64::new(0),
            doing: Mutex::default(),
            bar: (shared.mode.form == Form::Bars).then(|| {
                let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden())
                    .with_style(style(total, unit, shared.mode.colour))
                    .with_prefix(name.to_owned());
                let bar = shared.bars.add(bar);
                bar.enable_steady_tick(TICK);
                bar
            }),
            shared: Arc::clone(shared),
        };
        match shared.mode.form {
            Form::Lines => shared.say(&match total {
                Some(total) => format!("{name}: begins, {} to do", amount(total, unit)),
                None => format!("{name}: begins"),
            }),
            Form::Json => shared.tell(&json!({
                "event": "begin",
                "stage": stage.number,
                "name": name,
                "total": total,
                "unit": unit_name(unit),
            })),
            Form::Quiet | Form::Bars => {}
        }
        Box::new(stage)
    }

    fn note(&self, line: &str) {
        match self.shared.mode.form {
            Form::Quiet => {}
            Form::Json => self.shared.tell(&json!({"event": "note", "text": line})),
            Form::Lines | Form::Bars => self.shared.say(line),
        }
    }

    fn warn(&self, line: &str) {
        let shared = &self.shared;
        match shared.mode.form {
            Form::Json => shared.tell(&json!({"event": "warning", "text": line})),
            _ => shared.say(&format!("{} {line}", shared.paint("1;33", "warning:"))),
        }
    }

    fn cancelled(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// Writes a line that stays.
    fn say(&self, line: &str) {
        let write = || {
            // There is nobody to tell that standard error is closed.
            let _ = writeln!(lock(&self.output), "{line}");
        };
        if self.mode.form == Form::Bars {
            self.bars.suspend(write);
        } else {
            write();
        }
    }

    fn tell(&self, event: &serde_json::Value) {
        self.say(&event.to_string());
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.mode.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }
}

/// A stage that is under way.
struct Running {
    shared: Arc<Shared>,
    number: u64,
    name: String,
    total: Option<u64>,
    unit: Unit,
    done: AtomicU64,
    begin: Instant,
    /// When progress was last told in JSON, in milliseconds since the begin.
    told: AtomicU64,
    doing: Mutex<String>,
    bar: Option<ProgressBar>,
}

impl Running {
    fn amounts(&self) -> String {
        amounts(self.done.load(Ordering::Relaxed), self.total, self.unit)
    }

    fn tell_line(&self) {
        // Whoever comes while another stage writes its line has nothing to add.
        let Ok(mut last) = self.shared.line.try_lock() else {
            return;
        };
        let now = Instant::now();
        let since = last.map_or(self.begin, |last| last.max(self.begin));
        if now.duration_since(since) < LINE_INTERVAL {
            return;
        }
        *last = Some(now);
        let doing = lock(&self.doing);
        let doing = match doing.as_str() {
            "" => String::new(),
            doing => format!(" ({doing})"),
        };
        self.shared.say(&format!(
            "{}: {} after {}{doing}",
            self.name,
            self.amounts(),
            time(self.begin.elapsed())
        ));
    }

    fn tell_json(&self) {
        let now = self.begin.elapsed().as_millis() as u64;
        let told = self.told.load(Ordering::Relaxed);
        let due = now >= told + JSON_INTERVAL.as_millis() as u64;
        let ours = || {
            let order = Ordering::Relaxed;
            self.told.compare_exchange(told, now, order, order).is_ok()
        };
        if due && ours() {
            self.shared.tell(&json!({
                "event": "progress",
                "stage": self.number,
                "done": self.done.load(Ordering::Relaxed),
                "doing": *lock(&self.doing),
            }));
        }
    }
}

impl Stage for Running {
    fn advance(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(amount);
        }
        match self.shared.mode.form {
            Form::Lines => self.tell_line(),
            Form::Json => self.tell_json(),
            Form::Quiet | Form::Bars => {}
        }
    }

    fn doing(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
        let mode = self.shared.mode;
        if mode.verbose && matches!(mode.form, Form::Lines | Form::Bars) {
            self.shared.say(&format!("{}: {what}", self.name));
        }
        what.clone_into(&mut lock(&self.doing));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let elapsed = self.begin.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.shared.bars.remove(bar);
        }
        match self.shared.mode.form {
            Form::Quiet => {}
            Form::Lines => {
                let amounts = match self.amounts() {
                    amounts if amounts.is_empty() => amounts,
                    amounts => format!(", {amounts}"),
                };
                let time = time(elapsed);
                self.shared
                    .say(&format!("{}: ended after {time}{amounts}", self.name));
            }
            Form::Bars => {
                let name = self.shared.paint("32", &format!("{:>14}", self.name));
                let line = format!("{name}  {:>8}  {}", time(elapsed), self.amounts());
                self.shared.say(line.trim_end());
            }
            Form::Json => self.shared.tell(&json!({
                "event": "end",
                "stage": self.number,
                "name": self.name,
                "done": self.done.load(Ordering::Relaxed),
                "seconds": (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
            })),
        }
    }
}

fn style(total: Option<u64>, unit: Unit, colour: bool) -> ProgressStyle {
    let template = match (total.is_some(), colour) {
        (true, true) => "{prefix:>14.cyan.bold}  {clock:>8}  [{bar:16}] {amounts}  {wide_msg:.dim}",
        (true, false) => "{prefix:>14}  {clock:>8}  [{bar:16}] {amounts}  {wide_msg}",
        (false, true) => "{prefix:>14.cyan.bold}  {clock:>8}  {spinner} {amounts}  {wide_msg:.dim}",
        (false, false) => "{prefix:>14}  {clock:>8}  {spinner} {amounts}  {wide_msg}",
    };
    ProgressStyle::with_template(template)
        // It is one of the four above, which the tests draw.
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .tick_chars("-\\|/ ")
        .with_key(
            "clock",
            |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&time(state.elapsed()));
            },
        )
        .with_key(
            "amounts",
            move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&amounts(state.pos(), total, unit));
            },
        )
}

/// "32.1 of 80.0 MiB", "3 of 158"; without "of" when all is done or the whole is unknown;
/// nothing when nothing is counted.
fn amounts(done: u64, total: Option<u64>, unit: Unit) -> String {
    match total {
        Some(total) if total != done => {
            let (done, total) = (amount(done, unit), amount(total, unit));
            match (done.split_once(' '), total.split_once(' ')) {
                (Some((done, unit)), Some((_, same))) if unit == same => {
                    format!("{done} of {total}")
                }
                _ => format!("{done} of {total}"),
            }
        }
        None if done == 0 => String::new(),
        _ => amount(done, unit),
    }
}

fn amount(value: u64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => bytes(value),
        Unit::Items => value.to_string(),
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Bytes => "bytes",
        Unit::Items => "items",
    }
}

/// So many bytes, for people: "512 B", "80.1 MiB".
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        // What would be rounded up to 1024 belongs to the next unit.
        if value < 1023.95 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ => format!("{value:.1} {unit}"),
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A time, for people: "0.3 s", "2 min 05 s", "1 h 02 min".
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_millis() as f64 / 1000.0),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A thread that panicked while it wrote a line is no reason to write none.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
