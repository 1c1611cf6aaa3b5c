//! Results on standard output.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

/// Writes a part of a result.
///
/// Whoever has read enough (`fortress-build plan … | head`) ends the program, and quietly. A
/// result that cannot be written is no success, on a full disk for example.
pub(crate) fn write(text: Arguments<'_>) {
    let mut output = io::stdout().lock();
    match output.write_fmt(text).and_then(|()| output.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(0),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            exit(1);
        }
    }
}

/// The standard library's macros panic when standard output is closed; these, by the same names,
/// do not.
macro_rules! print {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}
macro_rules! println {
    () => { $crate::output::write(format_args!("\n")) };
    ($($text:tt)*) => {{
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)));
    }};
}
