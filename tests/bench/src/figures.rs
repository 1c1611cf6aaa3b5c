//! Figures of several rounds, and the table that they end up in.

use std::fmt;
use std::time::Duration;

/// The same thing measured several times.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn time(&mut self, time: Duration) {
        self.add(time.as_secs_f64());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each value over the other's of the same round.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// Each value and the other's of the same round together.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a + b).collect())
    }

    /// Each value less the other's of the same round.
    pub(crate) fn less(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a - b).collect())
    }

    /// Each value divided by the same one.
    pub(crate) fn per(&self, by: f64) -> Self {
        Self(self.0.iter().map(|value| value / by).collect())
    }

    /// The value in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            even if even % 2 == 0 => (sorted[even / 2 - 1] + sorted[even / 2]) / 2.0,
            odd => sorted[odd / 2],
        }
    }

    fn range(&self) -> (f64, f64) {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (least, most)
    }
}

/// What a figure counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Times,
    Mebibytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value >= 10.0 => format!("{value:.1} s"),
            Self::Seconds => format!("{value:.2} s"),
            Self::Times if value >= 10.0 => format!("{value:.1} ×"),
            Self::Times => format!("{value:.2} ×"),
            Self::Mebibytes => format!("{value:.0} MiB"),
        }
    }
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// The figures of one measure, as a table in Markdown with notes below it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
    notes: Vec<String>,
}

impl Table {
    /// Adds a line, and says it on standard error at once.
    pub(crate) fn add(&mut self, what: &str, series: &Series, unit: Unit, target: Target) {
        let median = series.median();
        let (least, most) = series.range();
        let (target, verdict) = match target {
            Target::None => (String::new(), ""),
            Target::AtMost(limit) => (
                format!("≤ {}", unit.show(limit)),
                ["**missed**", "met"][usize::from(median <= limit)],
            ),
            Target::AtLeast(limit) => (
                format!("≥ {}", unit.show(limit)),
                ["**missed**", "met"][usize::from(median >= limit)],
            ),
        };
        let range = match least == most {
            true => String::new(),
            false => format!("{} – {}", unit.show(least), unit.show(most)),
        };
        eprintln!("{what}: {} ({range}) {target} {verdict}", unit.show(median));
        self.rows.push([
            what.to_owned(),
            unit.show(median),
            range,
            target,
            verdict.to_owned(),
        ]);
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, text: String) {
        eprintln!("{text}");
        self.notes.push(text);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["Measure", "Median", "Range", "Target", ""].map(str::to_owned);
        let mut widths = [0; 5];
        for line in std::iter::once(&head).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut write = |line: &[String; 5]| {
            for (width, cell) in widths.iter().zip(line) {
                write!(formatter, "| {cell:width$} ")?;
            }
            writeln!(formatter, "|")
        };
        if !self.rows.is_empty() {
            write(&head)?;
            write(&widths.map(|width| "-".repeat(width.max(3))))?;
            self.rows.iter().try_for_each(write)?;
        }
        let mut notes = self.notes.iter();
        notes.try_for_each(|note| writeln!(formatter, "\n{note}"))
    }
}
