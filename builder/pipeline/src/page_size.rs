//! The size of the kernel's pages: what it is, and who would not run with it.

use crate::boot::Kernel;
use crate::{Error, Result};
use fortress_recipe::{Architecture, PageSize, Plan};
use fortress_tree::{Tree, TreePath};

/// gVisor's program.
const GVISOR: &str = "runsc";

/// Refuses a kernel whose pages are not those that the recipe demands, or that something in the
/// root needs.
pub(crate) fn check(plan: &Plan, root: &Tree, kernel: &Kernel) -> Result<()> {
    let path = TreePath::new("/usr/lib/modules")?
        .join(&kernel.release)?
        .join("config")?;
    let demanded = plan.kernel.page_size.as_ref().map(|size| size.value);
    // x86 has no others.
    let size = match *plan.board.architecture {
        Architecture::Amd64 => PageSize::Small,
        Architecture::Arm64 => match root.read_text(&path).ok().as_deref().and_then(of) {
            Some(size) => size,
            None if demanded.is_none() && gvisor(root).is_none() => return Ok(()),
            None => {
                return Err(Error::Kernel {
                    found: format!(
                        "kernel {}, whose page size {path} does not tell",
                        kernel.release
                    ),
                });
            }
        },
    };
    let refuse = |needed: PageSize, by: String| {
        Err(Error::PageSize {
            kernel: kernel.release.clone(),
            size: size.as_str(),
            needed: needed.as_str(),
            by,
        })
    };
    match (demanded, gvisor(root)) {
        (Some(needed), _) if needed != size => {
            refuse(needed, "the recipe (kernel.page-size)".into())
        }
        // https://gvisor.dev/docs/user_guide/install/: on arm64 pages of 4K alone.
        (_, Some(program)) if size != PageSize::Small => {
            refuse(PageSize::Small, format!("gVisor ({program})"))
        }
        _ => Ok(()),
    }
}

/// gVisor's program in the root, if it is there.
fn gvisor(root: &Tree) -> Option<&TreePath> {
    let mut found = root.iter().filter(|(path, _)| path.name() == GVISOR);
    found
        .find(|(_, node)| !node.is_directory())
        .map(|(path, _)| path)
}

/// What the configuration of a kernel for arm64 says.
fn of(configuration: &str) -> Option<PageSize> {
    let set = |option: &str| configuration.lines().any(|line| line == option);
    [
        ("CONFIG_ARM64_4K_PAGES=y", PageSize::Small),
        ("CONFIG_ARM64_16K_PAGES=y", PageSize::Middle),
        ("CONFIG_ARM64_64K_PAGES=y", PageSize::Large),
    ]
    .into_iter()
    .find_map(|(option, size)| set(option).then_some(size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fortress_recipe::{Library, Request};
    use fortress_tests::project_folder;

    fn plan(board: &str, page_size: Option<&str>) -> Plan {
        let set = page_size.map(|size| ("kernel.page-size".to_owned(), size.to_owned()));
        let request = Request {
            board: board.into(),
            base: Some("debian-13".into()),
            sets: set.into_iter().collect(),
            ..Request::default()
        };
        let library = Library::open(&project_folder()).unwrap();
        library.plan(&request).unwrap()
    }

    fn root(configuration: Option<&str>, gvisor: bool) -> Tree {
        let mut root = Tree::new(0);
        let mut write = |path: &str, text: &str| {
            let path = TreePath::new(path).unwrap();
            root.write(&path, 0o755, text).unwrap();
        };
        if let Some(text) = configuration {
            write("/usr/lib/modules/7/config", text);
        }
        if gvisor {
            write("/usr/bin/runsc", "");
        }
        root
    }

    #[test]
    fn gvisor_and_large_pages_do_not_go_together() {
        const SMALL: Option<&str> = Some("CONFIG_ARM64_4K_PAGES=y\n");
        const MIDDLE: Option<&str> = Some("CONFIG_ARM64_16K_PAGES=y\n");
        // Board, demanded, configuration, gVisor, and what the refusal says.
        let table = [
            ("pi5", None, MIDDLE, false, ""),
            ("pi5", None, SMALL, true, ""),
            ("pi5", None, None, false, ""),
            ("pi5", Some("16K"), MIDDLE, false, ""),
            (
                "pi5",
                None,
                MIDDLE,
                true,
                "kernel 7 has pages of 16K, and gVisor (/usr/bin/runsc) needs 4K",
            ),
            (
                "pi5",
                Some("16K"),
                MIDDLE,
                true,
                "gVisor (/usr/bin/runsc) needs 4K",
            ),
            (
                "pi5",
                Some("4K"),
                MIDDLE,
                false,
                "the recipe (kernel.page-size) needs 4K",
            ),
            ("pi5", None, None, true, "does not tell"),
            ("pi5", Some("4K"), None, false, "does not tell"),
            ("x86", Some("4K"), None, true, ""),
            ("x86", Some("16K"), None, false, "has pages of 4K"),
        ];
        for (board, demanded, configuration, gvisor, said) in table {
            let kernel = Kernel {
                release: "7".into(),
                image: "".into(),
            };
            let result = check(
                &plan(board, demanded),
                &root(configuration, gvisor),
                &kernel,
            );
            match (said, result) {
                ("", result) => result.unwrap(),
                (_, Err(error)) => assert!(error.to_string().contains(said), "{error}"),
                (_, Ok(())) => panic!("{board} {demanded:?} {configuration:?} {gvisor}: accepted"),
            }
        }
    }

    #[test]
    fn options_that_are_not_set_are_comments() {
        let text = "CONFIG_ARM64=y\n# CONFIG_ARM64_4K_PAGES is not set\nCONFIG_ARM64_16K_PAGES=y\n";
        assert_eq!(of(text), Some(PageSize::Middle));
        assert_eq!(of("CONFIG_ARM64_4K_PAGES=y"), Some(PageSize::Small));
        assert_eq!(of("CONFIG_X86=y"), None);
    }

    #[test]
    fn gvisor_is_found_wherever_it_is() {
        let mut root = Tree::new(0);
        assert!(gvisor(&root).is_none());
        root.make_directories(&TreePath::new("/usr/share/runsc").unwrap())
            .unwrap();
        assert!(gvisor(&root).is_none());
        let path = TreePath::new("/opt/gvisor/bin/runsc").unwrap();
        root.write(&path, 0o755, "").unwrap();
        assert_eq!(gvisor(&root), Some(&path));
    }
}
