//! Lists the scripts of packages that nobody has reviewed, each as an entry to complete with what
//! is left of it as a comment:
//!
//!     cargo run --release -p fortress-package --example unreviewed-scripts -- \
//!         recipes/reviewed-scripts.toml FOLDER-OF-PACKAGES...

use fortress_package::{Archive, Options, Reviewed, review, unpack};
use fortress_progress::Silent;
use fortress_tree::{Spool, Tree};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(reviewed) = arguments.next() else {
        return Err("which file has the reviewed scripts?".into());
    };
    let reviewed = Reviewed::from_toml(&std::fs::read_to_string(reviewed)?)?;
    let directory = tempfile::tempdir()?;
    let mut paths = Vec::new();
    for folder in arguments {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let mut count = (0, 0);
    for path in paths {
        let archive = Archive {
            name: path.display().to_string(),
            path,
            sha256: None,
        };
        // One at a time: packages of different images may be at odds.
        let spool = Spool::new(directory.path())?;
        let mut tree = Tree::new(0);
        let packages = unpack(&[archive], &mut tree, &spool, &Options::default(), &Silent)?;
        for finding in review(&packages, &reviewed) {
            count.0 += 1;
            if finding.covered.is_some() {
                continue;
            }
            count.1 += 1;
            println!("[[script]]");
            println!("package = {:?}", finding.package);
            println!("script = {:?}", finding.script);
            println!("sha256 = {:?}", finding.sha256);
            println!("covered = \"\"");
            for line in finding.rest.lines() {
                println!("# {line}");
            }
            println!();
        }
    }
    eprintln!(
        "{} scripts to review, {} of them unreviewed",
        count.0, count.1
    );
    Ok(())
}
