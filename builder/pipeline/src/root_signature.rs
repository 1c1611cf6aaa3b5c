//! Whether the kernel can check the signature of the root hash with the certificates that firmware
//! enrolled. Kernels before 6.11 and those built otherwise cannot: they know only keys that were
//! compiled in.

use crate::{Error, Result};
use fortress_recipe::{PartitionKind, Plan, VeritySignature};
use fortress_tree::{Tree, TreePath};

/// What a kernel's configuration has to say.
const OPTIONS: [&str; 2] = [
    "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG=y",
    "CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING=y",
];
/// What says to the initrd (`overlays/initrd/usr/lib/fortress/verified-root`) that the kernel can.
const MARK: &str = "/usr/lib/fortress/checks-root-signature";

/// Refuses a demand that nothing can meet.
pub(crate) fn check(plan: &Plan, root: &Tree, release: &str) -> Result<()> {
    if *plan.trust.verity_signature != VeritySignature::Always {
        return Ok(());
    }
    let kind = PartitionKind::RootVeritySig;
    if !plan.board.partitions.iter().any(|one| *one.kind == kind) {
        return Err(Error::Partition {
            partition: kind.as_str().into(),
            reason: format!(
                "the recipe demands a signature of the root hash (trust.verity-signature), and board {} \
                 has no place for it",
                plan.board.name.value
            ),
        });
    }
    match is_checked(root, release)? {
        true => Ok(()),
        false => Err(Error::RootSignature {
            kernel: release.to_owned(),
        }),
    }
}

/// Whether the kernel checks the signature, where Secure Boot is on.
pub(crate) fn is_checked(root: &Tree, release: &str) -> Result<bool> {
    let path = TreePath::new("/usr/lib/modules")?
        .join(release)?
        .join("config")?;
    let configuration = root.read_text(&path).unwrap_or_default();
    let is_set = |option: &str| configuration.lines().any(|line| line == option);
    Ok(OPTIONS.into_iter().all(is_set))
}

/// Tells the initrd.
pub(crate) fn mark(root: &Tree, release: &str, initrd: &mut Tree) -> Result<()> {
    if is_checked(root, release)? {
        initrd.write(&TreePath::new(MARK)?, 0o644, "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fortress_recipe::{Library, Request};
    use fortress_tests::project_folder;

    fn root(configuration: &str) -> Tree {
        let mut root = Tree::new(0);
        let path = TreePath::new("/usr/lib/modules/7/config").unwrap();
        root.write(&path, 0o644, configuration).unwrap();
        root
    }

    fn plan(wish: &str) -> Plan {
        let library = Library::open(&project_folder()).unwrap();
        let request = Request {
            board: "x86".into(),
            base: Some("debian-13".into()),
            sets: vec![("trust.verity-signature".into(), wish.into())],
            ..Request::default()
        };
        library.plan(&request).unwrap()
    }

    #[test]
    fn the_kernels_configuration_decides() {
        let able = root(&format!("CONFIG_X=y\n{}\n{}\n", OPTIONS[0], OPTIONS[1]));
        let unable = root(&format!(
            "{}\n# CONFIG_DM_VERITY_VERIFY_ROOTHASH_SIG_PLATFORM_KEYRING is not set\n",
            OPTIONS[0]
        ));
        for (root, is_able) in [(&able, true), (&unable, false), (&Tree::new(0), false)] {
            let mut initrd = Tree::new(0);
            mark(root, "7", &mut initrd).unwrap();
            let marked = initrd.content(&TreePath::new(MARK).unwrap()).is_ok();
            assert_eq!(marked, is_able);
            check(&plan("with-secure-boot"), root, "7").unwrap();
            let demanded = check(&plan("always"), root, "7");
            assert_eq!(demanded.is_ok(), is_able, "{demanded:?}");
        }
    }
}
