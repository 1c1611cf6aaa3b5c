//! An archive in Ubuntu's shape, with a store and a client to read it.

use fortress_archive::{Error, Index, LoadOptions, Lock, Request, Source, resolve};
use fortress_progress::Silent;
use fortress_store::{Client, ClientOptions, Digest, Store};
use fortress_tests::{FixtureArchive, FixturePackage};

/// When the archives here are made, in seconds since 1970.
pub(crate) const NOW: i64 = 1_780_000_000;
pub(crate) const DAY: i64 = 86_400;

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) archive: FixtureArchive,
    pub(crate) store: Store,
    pub(crate) client: Client,
}

pub(crate) fn package(name: &str, version: &str) -> FixturePackage {
    FixturePackage::new(name, version)
}

/// Pockets noble, noble-updates and noble-security; main and universe.
pub(crate) fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = FixtureArchive::new(&folder.path().join("ubuntu"), NOW);
    let postinst = "#!/bin/sh\nset -e\nldconfig\n";
    archive
        .add(
            "noble",
            "main",
            package("base-files", "13").field("Essential", "yes"),
        )
        .add(
            "noble",
            "main",
            package("libc6", "2.39-0ubuntu8")
                .field("Multi-Arch", "same")
                .file("usr/lib/libc.so.6", 0o755, b"\x7fELF, or so")
                .script("postinst", postinst),
        )
        .add(
            "noble",
            "main",
            package("hello", "2.10-3").depends("libc6 (>= 2.34)"),
        )
        .add(
            "noble",
            "main",
            package("tzdata", "2024a").field("Architecture", "all"),
        )
        .add(
            "noble",
            "universe",
            package("tool", "1:1.0").depends("hello, tzdata"),
        )
        .add(
            "noble-updates",
            "main",
            package("hello", "2.10-4").field("Phased-Update-Percentage", "40"),
        )
        .add(
            "noble-updates",
            "main",
            package("tzdata", "2025b").field("Architecture", "all"),
        )
        .add(
            "noble-security",
            "main",
            package("libc6", "2.39-0ubuntu8.5"),
        )
        .component("noble-updates", "universe")
        .component("noble-security", "universe")
        .publish();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let client = Client::new(ClientOptions::default()).unwrap();
    World {
        folder,
        archive,
        store,
        client,
    }
}

impl World {
    pub(crate) fn sources(&self) -> Vec<Source> {
        ["noble", "noble-updates", "noble-security"]
            .map(|suite| Source {
                name: suite.replace("noble", "ubuntu"),
                mirrors: vec![self.archive.url()],
                suite: suite.into(),
                components: vec!["main".into(), "universe".into()],
                keys: vec![self.archive.public_key()],
                priority: 500,
                ..Source::default()
            })
            .to_vec()
    }

    pub(crate) fn load_at(
        &self,
        sources: &[Source],
        now: i64,
        offline: bool,
    ) -> Result<Index, Error> {
        let options = LoadOptions { now, offline };
        Index::load(
            sources,
            "amd64",
            &self.store,
            &self.client,
            &options,
            &Silent,
        )
    }

    pub(crate) fn load(&self) -> Result<Index, Error> {
        self.load_at(&self.sources(), NOW + 60, false)
    }

    pub(crate) fn lock(&self, roots: &[&str]) -> Lock {
        let index = self.load().unwrap();
        let request = Request {
            roots: roots.iter().map(|root| (*root).to_owned()).collect(),
            essential: true,
            ..Request::default()
        };
        let resolution = resolve(&index, &request).unwrap();
        Lock::new(&index, &resolution, "ubuntu-24.04", Digest::of(b"request"))
    }

    /// A file of the archive.
    pub(crate) fn file(&self, path: &str) -> std::path::PathBuf {
        self.archive.root().join(path)
    }
}
