//! Foreign bytes: whatever is in a file, it is read or refused, and never ends the builder.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::base::BaseFile;
use crate::board::BoardFile;
use crate::error::{ErrorKind, Result};
use crate::recipe::{Layer, RecipeFile};
use crate::source::{LARGEST, Source};

/// Takes bytes as each kind of file. What is refused must be told with a place that fits.
fn read_as_everything(bytes: &[u8]) {
    let source = Source::from_bytes(bytes.to_vec(), "x.toml".to_owned());
    let results: Vec<Result<()>> = match source {
        Err(error) => vec![Err(error)],
        Ok(source) => vec![
            BoardFile::parse(&source).map(drop),
            BaseFile::parse(&source).map(drop),
            RecipeFile::parse(&source).map(drop),
            Layer::parse_site(&source).map(drop),
            Layer::parse_option(&source).map(drop),
        ],
    };
    for error in results.into_iter().filter_map(Result::err) {
        let shown = error.to_string();
        let place = error.place().expect("what is wrong in a file has a place");
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        assert!(place.line as usize <= lines, "{shown}");
        assert!(shown.starts_with(&format!("x.toml:{}:{}: ", place.line, place.column)));
        assert!(
            !shown.contains(|c: char| c.is_control() && c != '\n'),
            "{shown:?}"
        );
    }
}

/// The files of this project.
fn real_files() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths: Vec<PathBuf> = ["boards", "recipes", "recipes/bases"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        // The list of reviewed scripts is long, and read elsewhere.
        .filter(|path| !path.ends_with("reviewed-scripts.toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 5, "{paths:?}");
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Bytes that mean something in TOML, more often than others.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just("[packages]\n"),
        Just("[[partitions]]\n"),
        Just("[kernel.x]\n"),
        Just("install"),
        Just("description"),
        Just("kind"),
        Just(" = "),
        Just("[\"a\", \"a\"]"),
        Just("\"\"\"\n"),
        Just("'"),
        Just("{"),
        Just("}"),
        Just("\n"),
        Just("9223372036854775808"),
        Just("1e9"),
        Just("2026-01-01"),
        Just("true"),
        Just("\u{1b}[31m"),
        Just("ü"),
    ];
    let tokens = prop::collection::vec(token, 0..40).prop_map(|t| t.concat().into_bytes());
    prop_oneof![prop::collection::vec(any::<u8>(), 0..300), tokens]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in any_bytes()) {
        read_as_everything(&bytes);
    }

    #[test]
    fn mutated_files_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any_bytes(), 0_usize..20), 1..4),
    ) {
        let files = real_files();
        let mut bytes = files[which.index(files.len())].clone();
        for (at, inserted, removed) in edits {
            let start = at.index(bytes.len() + 1);
            let end = (start + removed).min(bytes.len());
            bytes.splice(start..end, inserted);
        }
        read_as_everything(&bytes);
    }
}

#[test]
fn a_file_is_read_up_to_its_bound_and_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    let fits = usize::try_from(LARGEST).unwrap();
    std::fs::write(&path, vec![b'#'; fits]).unwrap();
    Source::read(&path, "x.toml".to_owned()).unwrap();
    std::fs::write(&path, vec![b'#'; fits + 1]).unwrap();
    let error = Source::read(&path, "x.toml".to_owned()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TooLarge { .. }),
        "{error}"
    );
    // What has no end has too much.
    let error = Source::read(Path::new("/dev/zero"), "x.toml".to_owned()).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::TooLarge { .. }),
        "{error}"
    );
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        "[".repeat(100_000),
        "a.".repeat(100_000) + "a = 1",
        "x = ".to_owned() + &"{a = ".repeat(100_000),
    ] {
        read_as_everything(text.as_bytes());
        let source = Source::from_bytes(text.into_bytes(), "x.toml".to_owned()).unwrap();
        RecipeFile::parse(&source).unwrap_err();
    }
}

#[test]
fn a_large_file_of_many_packages_takes_no_long_time() {
    // A megabyte of distinct names: comparing each with each would take minutes.
    let names: String = (0..80_000).map(|n| format!("\"p{n:06}\",\n")).collect();
    let text = format!("description = \"x\"\n[packages]\ninstall = [{names}]\n");
    let source = Source::from_bytes(text.into_bytes(), "x.toml".to_owned()).unwrap();
    let file = RecipeFile::parse(&source).unwrap();
    let mut composition = crate::composition::Composition::default();
    let architecture = crate::plan::Architecture::Amd64;
    composition.add(file.layer, architecture).unwrap();
    assert_eq!(composition.packages.len(), 80_000);
}
