//! Says how long each job takes on the .deb files of a folder:
//! `cargo run --release -p fortress-configuration --example time -- target/oracle/var/cache/apt/archives`

use fortress_configuration::modules::NoCache;
use fortress_configuration::{Settings, configure};
use fortress_package::{Archive, Options, unpack};
use fortress_progress::{Observer, Silent, Stage, Unit};
use fortress_tree::{Spool, Tree};
use std::error::Error;
use std::sync::Mutex;
use std::time::Instant;

/// Prints how long each job took once the next begins.
struct Clock(Mutex<Option<(String, Instant)>>);

impl Clock {
    fn next(&self, name: Option<&str>) {
        let Ok(mut running) = self.0.lock() else {
            return;
        };
        if let Some((name, since)) = running.take() {
            println!("{:8.1} ms  {name}", since.elapsed().as_secs_f64() * 1e3);
        }
        *running = name.map(|name| (name.to_owned(), Instant::now()));
    }
}

impl Observer for &'static Clock {
    fn stage(&self, _name: &str, _total: Option<u64>, _unit: Unit) -> Box<dyn Stage> {
        Box::new(*self)
    }
    fn note(&self, line: &str) {
        println!("{line}");
    }
    fn warn(&self, line: &str) {
        println!("{line}");
    }
}

impl Stage for &'static Clock {
    fn advance(&self, _amount: u64) {}
    fn doing(&self, what: &str) {
        self.next(Some(what));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args()
        .nth(1)
        .ok_or("which folder has the .deb files?")?;
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|name| name == "deb") {
            let name = path.display().to_string();
            archives.push(Archive {
                name,
                path,
                sha256: None,
            });
        }
    }
    archives.sort_by(|one, other| one.path.cmp(&other.path));
    let spool = Spool::new(&std::env::temp_dir())?;
    let mut tree = Tree::new(1_700_000_000);
    let packages = unpack(&archives, &mut tree, &spool, &Options::default(), &Silent)?;
    println!("{} packages, {} paths", packages.len(), tree.count());
    let clock: &'static Clock = Box::leak(Box::new(Clock(Mutex::new(None))));
    let start = Instant::now();
    let report = configure(&mut tree, &packages, &Settings::default(), &NoCache, &clock)?;
    clock.next(None);
    println!("{:8.1} ms  in all", start.elapsed().as_secs_f64() * 1e3);
    for (name, done) in report.jobs {
        println!("{name}: {}", done.summary);
    }
    Ok(())
}
