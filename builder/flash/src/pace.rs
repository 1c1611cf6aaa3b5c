//! How fast the work goes, and how much time is left.

use fortress_progress::Stage;
use std::time::{Duration, Instant};

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells a stage how fast it goes.
#[derive(Debug)]
pub(crate) struct Pace {
    begin: Instant,
    told: Instant,
    /// Bytes that went to the disk, or came from it.
    moved: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            begin: now,
            told: now,
            moved: 0,
        }
    }

    /// So many bytes more were moved, and of the whole work so much is done, from 0 to 1.
    pub(crate) fn tell(&mut self, stage: &dyn Stage, moved: u64, done: f64) {
        self.moved += moved;
        let now = Instant::now();
        if now.duration_since(self.told) >= INTERVAL {
            self.told = now;
            stage.doing(&said(self.moved, done, now.duration_since(self.begin)));
        }
    }
}

/// "21.4 MiB/s, 2 min 05 s left".
fn said(moved: u64, done: f64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = moved as f64 / seconds / f64::from(1 << 20);
    let left = seconds * (1.0 - done).max(0.0) / done.max(0.000_1);
    // Rounded up: it is not done as long as it is not done.
    let left = left.ceil() as u64;
    match left {
        0..60 => format!("{rate:.1} MiB/s, {left} s left"),
        60..3600 => format!("{rate:.1} MiB/s, {} min {:02} s left", left / 60, left % 60),
        _ => format!(
            "{rate:.1} MiB/s, {} h {:02} min left",
            left / 3600,
            left / 60 % 60
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_from_what_is_done() {
        let ten = Duration::from_secs(10);
        assert_eq!(said(100 << 20, 0.5, ten), "10.0 MiB/s, 10 s left");
        assert_eq!(said(100 << 20, 0.074, ten), "10.0 MiB/s, 2 min 06 s left");
        assert_eq!(said(1 << 20, 0.001, ten), "0.1 MiB/s, 2 h 46 min left");
        assert_eq!(said(1 << 20, 1.0, ten), "0.1 MiB/s, 0 s left");
        said(0, 0.0, Duration::ZERO);
    }
}
