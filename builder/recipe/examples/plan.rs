//! Prints a plan as rows: `cargo run --release -p fortress-recipe --example plan -- x86 host debian-13`.

use std::path::Path;
use std::process::ExitCode;

use fortress_recipe::{Library, Request};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let request = Request {
        board: arguments.next().unwrap_or_else(|| "x86".to_owned()),
        recipe: arguments.next(),
        base: arguments.next(),
        ..Request::default()
    };
    let plan = Library::discover(Path::new(".")).and_then(|library| library.plan(&request));
    match plan {
        Ok(plan) => {
            for (key, value, origin) in plan.explain() {
                println!("{key:32} {value:50} {origin}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            if let Some(hint) = error.hint() {
                eprintln!("hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}
