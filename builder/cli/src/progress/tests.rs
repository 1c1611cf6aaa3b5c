//! What each form of progress writes.

use indicatif::TermLike;
use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

/// Keeps what is written to it, line feeds and all.
#[derive(Debug, Clone, Default)]
struct Paper(Arc<Mutex<String>>);

impl Paper {
    fn text(&self) -> String {
        lock(&self.0).clone()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal of 80 columns that cannot forget.
impl TermLike for Paper {
    fn width(&self) -> u16 {
        80
    }
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(&format!("{text}\n"))
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        lock(&self.0).push_str(text);
        Ok(())
    }
    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\n")
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What a download of two packages, a note and a warning look like. Times are written T.
fn shown(mode: Mode) -> String {
    let paper = Paper::default();
    let bars = ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 20);
    let terminal = Terminal::on(mode, Box::new(paper.clone()), bars);
    {
        let stage = terminal.stage("download", Some(80 * MIB), Unit::Bytes);
        stage.doing("bash 5.2");
        stage.advance(60 * MIB);
        terminal.note("a remark");
        stage.doing("linux-image-6.12");
        let drawn = || paper.text().contains("linux-image-6.12");
        for _ in 0..1000 {
            if mode.form != Form::Bars || drawn() {
                break;
            }
            std::thread::sleep(TICK / 10);
        }
        stage.advance(20 * MIB);
    }
    terminal.warn("be careful");
    drop(terminal.stage("resolve", None, Unit::Items));
    let text = paper.text();
    let mut words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    for index in 1..words.len() {
        let is_time = words[index].starts_with(['s', 'm', 'h']);
        let number = words[index - 1].trim().to_owned();
        if is_time && number.parse::<f64>().is_ok() {
            words[index - 1] = words[index - 1].replace(&number, "T");
        }
    }
    words.concat()
}

fn mode(form: Form) -> Mode {
    Mode {
        form,
        colour: false,
        verbose: false,
    }
}

#[test]
fn plain_lines() {
    assert_eq!(
        shown(mode(Form::Lines)),
        "download: begins, 80.0 MiB to do\n\
         a remark\n\
         download: ended after T s, 80.0 MiB\n\
         warning: be careful\n\
         resolve: begins\n\
         resolve: ended after T s\n"
    );
    let verbose = Mode {
        verbose: true,
        ..mode(Form::Lines)
    };
    assert_eq!(
        shown(verbose),
        "download: begins, 80.0 MiB to do\n\
         download: bash 5.2\n\
         a remark\n\
         download: linux-image-6.12\n\
         download: ended after T s, 80.0 MiB\n\
         warning: be careful\n\
         resolve: begins\n\
         resolve: ended after T s\n"
    );
}

#[test]
fn a_line_now_and_then() {
    let paper = Paper::default();
    let bars = ProgressDrawTarget::hidden();
    let terminal = Terminal::on(mode(Form::Lines), Box::new(paper.clone()), bars);
    let stage = terminal.stage("unpack", Some(158), Unit::Items);
    stage.doing("libc6");
    stage.advance(1);
    let long_ago = Instant::now().checked_sub(LINE_INTERVAL);
    *lock(&terminal.shared.line) = long_ago;
    stage.advance(42);
    // The stage itself has only just begun.
    assert_eq!(paper.text(), "unpack: begins, 158 to do\n");
    drop(stage);

    let running = Running {
        shared: Arc::clone(&terminal.shared),
        number: 2,
        name: "unpack".into(),
        total: Some(158),
        unit: Unit::Items,
        done: AtomicU64::new(0),
        begin: long_ago.unwrap(),
        told: AtomicU64::new(0),
        doing: Mutex::new("libc6".into()),
        bar: None,
    };
    for _ in 0..5 {
        running.advance(10);
    }
    let text = paper.text();
    let lines: Vec<&str> = text.lines().skip(2).collect();
    let [line] = lines[..] else {
        panic!("not one line: {lines:?}");
    };
    assert!(
        line.starts_with("unpack: 10 of 158 after 10.") && line.ends_with(" s (libc6)"),
        "{line}"
    );
}

#[test]
fn quiet_is_quiet() {
    assert_eq!(shown(mode(Form::Quiet)), "warning: be careful\n");
}

#[test]
fn bars() {
    let text = shown(mode(Form::Bars));
    let bar = "[============>   ] 60.0 of 80.0 MiB  linux-image-6.12";
    assert!(
        text.contains("      download") && text.contains(bar),
        "{text}"
    );
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains(['[', '|', '\\']) && !line.trim().is_empty())
        .collect();
    assert_eq!(
        lines,
        [
            "a remark",
            "      download     T s  80.0 MiB",
            "warning: be careful",
            "       resolve     T s",
        ]
    );
    assert!(!text.contains('\x1b'));
    let coloured = shown(Mode {
        colour: true,
        ..mode(Form::Bars)
    });
    assert!(coloured.contains("\x1b[1;33mwarning:\x1b[0m be careful"));
}

#[test]
fn json_lines() {
    let text = shown(mode(Form::Json));
    let events: Vec<serde_json::Value> = (text.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] != "progress")
        .map(|mut event: serde_json::Value| {
            if let Some(seconds) = event.get_mut("seconds") {
                assert!(seconds.as_f64().unwrap() >= 0.0);
                *seconds = json!(null);
            }
            event
        })
        .collect();
    let end = |stage: u64, name: &str, done: u64| json!({"event": "end", "stage": stage, "name": name, "done": done, "seconds": null});
    assert_eq!(
        events,
        [
            json!({"event": "begin", "stage": 1, "name": "download", "total": 80 * MIB, "unit": "bytes"}),
            json!({"event": "note", "text": "a remark"}),
            end(1, "download", 80 * MIB),
            json!({"event": "warning", "text": "be careful"}),
            json!({"event": "begin", "stage": 2, "name": "resolve", "total": null, "unit": "items"}),
            end(2, "resolve", 0),
        ]
    );
}

#[test]
fn the_mode_fits_the_surroundings() {
    let terminal = Surroundings {
        terminal: true,
        kind: Some("xterm-256color"),
        no_colour: None,
    };
    let choose = |surroundings| {
        let mode = Mode::choose(false, false, false, surroundings);
        (mode.form, mode.colour)
    };
    assert_eq!(choose(terminal), (Form::Bars, true));
    for no_colour in ["1", "0"] {
        let no_colour = Some(no_colour);
        assert_eq!(
            choose(Surroundings {
                no_colour,
                ..terminal
            }),
            (Form::Bars, false)
        );
    }
    let no_colour = Some("");
    assert_eq!(
        choose(Surroundings {
            no_colour,
            ..terminal
        }),
        (Form::Bars, true)
    );
    for kind in [None, Some(""), Some("dumb")] {
        assert_eq!(
            choose(Surroundings { kind, ..terminal }),
            (Form::Lines, false)
        );
    }
    let file = Surroundings {
        terminal: false,
        ..terminal
    };
    assert_eq!(choose(file), (Form::Lines, false));
    let form = |quiet, json| Mode::choose(quiet, false, json, terminal).form;
    assert_eq!(form(true, false), Form::Quiet);
    assert_eq!(form(false, true), Form::Json);
    assert_eq!(form(true, true), Form::Quiet);
}

#[test]
fn amounts_and_times() {
    for (value, expected) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (84_000_000, "80.1 MiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "16777216.0 TiB"),
    ] {
        assert_eq!(bytes(value), expected);
    }
    for (milliseconds, expected) in [
        (0, "0.0 s"),
        (12_345, "12.3 s"),
        (59_940, "59.9 s"),
        (125_000, "2 min 05 s"),
        (3_720_000, "1 h 02 min"),
        (90_000_000, "25 h 00 min"),
    ] {
        assert_eq!(time(Duration::from_millis(milliseconds)), expected);
    }
    assert_eq!(amounts(3, Some(158), Unit::Items), "3 of 158");
    assert_eq!(amounts(158, Some(158), Unit::Items), "158");
    assert_eq!(amounts(160, Some(158), Unit::Items), "160 of 158");
    assert_eq!(amounts(0, Some(158), Unit::Items), "0 of 158");
    assert_eq!(
        amounts(60 * MIB, Some(80 * MIB), Unit::Bytes),
        "60.0 of 80.0 MiB"
    );
    assert_eq!(amounts(60, Some(80 * MIB), Unit::Bytes), "60 B of 80.0 MiB");
    assert_eq!(amounts(7, None, Unit::Items), "7");
    assert_eq!(amounts(0, None, Unit::Bytes), "");
}

proptest! {
    #[test]
    fn amounts_are_short(value: u64) {
        let text = bytes(value);
        // Beyond TiB there is no unit.
        let fits = value >= 1 << 50 || !text.starts_with("1024");
        prop_assert!(text.len() <= 14 && fits, "{}", text);
    }
}
