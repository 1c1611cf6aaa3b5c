//! What is known of a package once it is unpacked.

use crate::Control;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A .deb file to unpack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// How messages name it.
    pub name: String,
    /// Where it is on this machine.
    pub path: PathBuf,
    /// The SHA-256 that the whole file must have; checked while it is read. Without it the
    /// file's own checksums are all that is checked.
    pub sha256: Option<[u8; 32]>,
}

/// An unpacked package: its control information, and which paths it ships.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Package {
    /// `Package`.
    pub name: String,
    /// `Version`, as written.
    pub version: String,
    /// `Architecture`; `all` for packages that fit every one.
    pub architecture: String,
    /// The whole `control` file.
    pub control: Control,
    /// The other members of control.tar by name, without `./`: `postinst`, `conffiles`,
    /// `md5sums`, `triggers`, `shlibs`, `templates` and so on.
    pub members: BTreeMap<String, Vec<u8>>,
    /// The paths that it ships, in the archive's order and as dpkg's `.list` files have them:
    /// `/.` for the root, no slash at the end, links in parents not followed. Paths that another
    /// package's `Replaces` took over are not among them.
    pub paths: Vec<String>,
    /// Whether it says `Essential: yes`.
    pub essential: bool,
}

impl Package {
    /// Whether it can be installed for several architectures at once (`Multi-Arch: same`).
    pub fn is_multi_arch_same(&self) -> bool {
        self.control.get("Multi-Arch") == Some("same")
    }

    /// The stem of its files in dpkg's `info` folder: `NAME:ARCHITECTURE` for `Multi-Arch: same`,
    /// else `NAME`.
    pub fn info_name(&self) -> String {
        match self.is_multi_arch_same() {
            true => format!("{}:{}", self.name, self.architecture),
            false => self.name.clone(),
        }
    }

    /// A member of control.tar as text; bytes that are not UTF-8 are replaced.
    pub fn member_text(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.members
            .get(name)
            .map(|bytes| String::from_utf8_lossy(bytes))
    }
}
