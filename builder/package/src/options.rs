//! What the unpacking of packages is told: bounds, diversions, exceptions.

use fortress_tree::TreePath;

/// How packages are unpacked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Bounds on what a package may hold.
    pub limits: Limits,
    /// Takes device nodes and named pipes, which are refused otherwise.
    pub allow_devices: bool,
    /// Diversions that packages' scripts would have made with dpkg-divert.
    pub diversions: Vec<Diversion>,
}

/// Files that one package keeps for itself: other packages' files of that path go elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// Whose file stays at the path.
    pub package: String,
    /// The path, as the other packages ship it.
    pub path: TreePath,
    /// Where the others' file goes.
    pub to: TreePath,
}

/// Bounds that keep a hostile or broken package from filling memory or disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one member of control.tar.
    pub control_member: u64,
    /// Most bytes of all members of control.tar together.
    pub control_total: u64,
    /// Most entries of a package's data.tar.
    pub entries: usize,
    /// Most bytes of all names, link targets and attributes of a package's data.tar.
    pub names: u64,
    /// Most bytes to which one package may unpack.
    pub unpacked: u64,
    /// Most times its own size to which a package may unpack, once it is over 64 MiB.
    pub ratio: u64,
}

impl Default for Limits {
    /// Several times what the largest packages of Debian need.
    fn default() -> Self {
        Self {
            control_member: 1 << 20,
            control_total: 16 << 20,
            entries: 500_000,
            names: 64 << 20,
            unpacked: 16 << 30,
            ratio: 400,
        }
    }
}
