//! What files come to: layers, names, archives, defaults and origins.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by them"
)]

mod fixture;

use std::collections::BTreeMap;

use fixture::{Project, SMALL};
use fortress_recipe::{
    Encryption, Library, PartitionKind, PartitionSize, Plan, Request, Sourced, WithoutTpm,
};

fn values(list: &[Sourced<String>]) -> Vec<&str> {
    list.iter().map(|item| item.value.as_str()).collect()
}

fn packages(plan: &Plan) -> Vec<&str> {
    plan.packages.iter().map(|p| p.name.as_str()).collect()
}

fn origins(plan: &Plan) -> BTreeMap<(String, String), String> {
    let rows = plan.explain().into_iter();
    rows.map(|(key, value, origin)| ((key, value), origin))
        .collect()
}

#[test]
fn a_small_recipe_on_a_small_board() {
    let plan = Project::new().plan("small").unwrap();
    assert_eq!((plan.name.as_str(), plan.version.as_str()), ("small", "1"));
    // The kernel list of the base itself wins over those of its distribution and of all.
    assert_eq!(packages(&plan), ["board-firmware", "linux-13", "systemd"]);
    assert_eq!(values(&plan.kernel.packages), ["linux-13"]);
    assert_eq!(
        values(&plan.kernel.command_line),
        ["console=ttyS0", "board"]
    );
    assert_eq!(values(&plan.initrd_modules), ["ext4", "ahci"]);
    assert_eq!(plan.base.archives.len(), 1);
    assert_eq!(plan.image.slots.value, 2);
    assert_eq!(
        plan.image.esp_size.as_ref().map(|size| size.value),
        Some(64 << 20)
    );
    let origins = origins(&plan);
    let origin = |key: &str, value: &str| origins[&(key.to_owned(), value.to_owned())].as_str();
    assert_eq!(origin("version", "1"), "recipes/small.toml:2");
    assert_eq!(origin("recipe", "small"), "command line: --recipe small");
    assert_eq!(origin("packages", "linux-13"), "boards/board.toml:16");
    assert_eq!(origin("system.hostname", "small"), "default");
    assert_eq!(
        origin("board.partitions.root-a.size", "content"),
        "boards/board.toml:25"
    );
    assert_eq!(
        origin("base.archives.release.suite", "trixie"),
        "recipes/bases/debian-13.toml:12"
    );
}

#[test]
fn the_board_names_the_recipe_where_none_is_asked_for() {
    let project = Project::new();
    let request = Request {
        board: "board".to_owned(),
        ..Request::default()
    };
    let plan = project.library().plan(&request).unwrap();
    assert_eq!(plan.recipe.to_owned().value, "small");
    assert_eq!(plan.recipe.origin.to_string(), "boards/board.toml:5");
}

#[test]
fn layers_append_override_and_take_back() {
    let project = Project::new()
        .with(
            "recipes/inner.toml",
            r#"description = "inner"
overlays = ["first"]
packages.install = ["kept", "taken-out", "put-back"]
packages.left-out = { unwanted = "too large", wanted-again = "too old" }
kernel.command-line = ["quiet"]
units.enable = ["a.service", "b.service"]
system.hostname = "inner"
system.locale = "de_AT.UTF-8"
users.weather = 651
"#,
        )
        .with(
            "recipes/middle.toml",
            "description = \"middle\"\ninclude = [\"inner\"]\npackages.left-out.put-back = \"x\"\n",
        )
        .with(
            "recipes/outer.toml",
            r#"description = "outer"
version = "2"
base = "debian-13"
include = ["middle", "inner"]
overlays = ["second", "first"]
packages.install = ["kept", "wanted-again", "put-back"]
packages.remove = ["taken-out"]
kernel.command-line = ["debug", "quiet"]
units.mask = ["b.service"]
system.hostname = "outer"
"#,
        )
        .with(
            "site.toml",
            "system.hostname = \"attic\"\noverlays = [\"own\"]\n",
        )
        .with("overlays/own/x", "")
        .with("elsewhere/overlays/own/x", "");
    let mut request = Project::request("outer");
    let plan = project.library().plan(&request).unwrap();
    assert_eq!(
        packages(&plan),
        [
            "board-firmware",
            "kept",
            "linux-13",
            "put-back",
            "wanted-again"
        ]
    );
    let left_out: Vec<_> = plan
        .left_out
        .iter()
        .map(|l| (&*l.name, &*l.reason))
        .collect();
    assert_eq!(left_out, [("unwanted", "too large")]);
    assert_eq!(
        values(&plan.kernel.command_line),
        ["console=ttyS0", "board", "quiet", "debug"]
    );
    let overlays: Vec<_> = plan.overlays.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(overlays, ["first", "second"]);
    assert_eq!(values(&plan.units.enable), ["a.service"]);
    assert_eq!(values(&plan.units.mask), ["b.service"]);
    assert_eq!(plan.identifiers.users["weather"].value, 651);
    assert_eq!(plan.system.hostname.value, "outer");
    assert_eq!(plan.system.locale.value, "de_AT.UTF-8");
    assert_eq!(
        plan.system.locale.origin.to_string(),
        "recipes/inner.toml:8"
    );

    request.site = Some(project.path("site.toml"));
    let plan = project.library().plan(&request).unwrap();
    assert_eq!(plan.system.hostname.value, "attic");
    let own = plan
        .overlays
        .iter()
        .find(|overlay| overlay.name == "own")
        .unwrap();
    assert_eq!(own.folder.path, project.path("overlays/own"));

    let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    request.sets = vec![
        set("system.hostname", "cellar"),
        set("kernel.command-line", "nosmt"),
        set("image.headroom-percent", "30"),
        set("packages.install", "[\"strace\"]"),
        set("version", "2.1"),
    ];
    let plan = project.library().plan(&request).unwrap();
    assert_eq!(plan.system.hostname.value, "cellar");
    assert_eq!(
        plan.system.hostname.origin.to_string(),
        "command line: system.hostname = \"cellar\""
    );
    assert_eq!(values(&plan.kernel.command_line).last(), Some(&"nosmt"));
    assert_eq!(plan.image.headroom_percent.value, 30);
    assert_eq!(plan.version.value, "2.1");
    assert!(packages(&plan).contains(&"strace"));
}

#[test]
fn an_overlay_beside_the_site_file_comes_first() {
    let project = Project::new()
        .with(
            "recipes/small.toml",
            &format!("{SMALL}overlays = [\"second\"]\n"),
        )
        .with("elsewhere/site.toml", "overlays = [\"first\"]\n")
        .with("elsewhere/overlays/first/x", "")
        .with("elsewhere/overlays/second/x", "");
    let mut request = Project::request("small");
    request.site = Some(project.path("elsewhere/site.toml"));
    let plan = project.library().plan(&request).unwrap();
    let paths: Vec<_> = plan
        .overlays
        .iter()
        .map(|o| o.folder.path.clone())
        .collect();
    // A recipe's overlay is the project's, whatever lies beside the site file.
    let expected = ["overlays/second", "elsewhere/overlays/first"];
    assert_eq!(paths, expected.map(|path| project.path(path)));
}

#[test]
fn the_base_renames_packages() {
    let recipe = SMALL.replace(
        "[\"systemd\"]",
        "[\"renamed\", \"split\", \"gone\", \"other\"]\npackages.left-out.split = \"x\"",
    );
    // What is left out under the recipe's name is left out under the base's.
    let project = Project::new().with("recipes/small.toml", &recipe.replace("\"split\", ", ""));
    let plan = project.plan("small").unwrap();
    assert_eq!(packages(&plan), ["board-firmware", "linux-13", "other"]);
    let left_out: Vec<_> = plan.left_out.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(left_out, ["one", "two"]);
    let absent: Vec<_> = plan
        .absent
        .iter()
        .map(|a| (&*a.name, a.origin.to_string()))
        .collect();
    assert_eq!(
        absent,
        [("gone", "recipes/bases/debian-13.toml:28".to_owned())]
    );

    let recipe = SMALL.replace("\"systemd\"", "\"split\"");
    let plan = Project::new()
        .with("recipes/small.toml", &recipe)
        .plan("small")
        .unwrap();
    let one = plan
        .packages
        .iter()
        .find(|package| package.name == "one")
        .unwrap();
    assert_eq!(one.written.as_deref(), Some("split"));
    assert_eq!(one.origin.to_string(), "recipes/small.toml:4");
}

#[test]
fn an_optional_archive_is_there_for_what_is_pinned_to_it() {
    let recipe = format!("{SMALL}pins.backports = [\"systemd\", \"dbus\"]\n");
    let plan = Project::new()
        .with("recipes/small.toml", &recipe)
        .plan("small")
        .unwrap();
    let backports = &plan.base.archives[0];
    assert_eq!(backports.name.value, "backports");
    assert_eq!(values(&backports.only), ["dbus", "systemd"]);
    assert_eq!(backports.priority.value, 990);
    let release = &plan.base.archives[1];
    assert!(release.only.is_empty());
    assert_eq!(release.priority.value, 500);
}

#[test]
fn another_architecture_has_its_own_packages_and_mirror() {
    let recipe = format!(
        "{SMALL}packages.by-architecture.amd64 = [\"for-amd64\"]\n\
         packages.by-architecture.arm64 = [\"for-arm64\"]\n"
    );
    let outer = "description = \"x\"\ninclude = [\"small\"]\npackages.remove = [\"for-amd64\"]\n";
    let project = Project::new()
        .with("recipes/small.toml", &recipe)
        .with("recipes/outer.toml", outer)
        .with("boards/arm.toml", &fixture::BOARD.replace("amd64", "arm64"));
    let plan = project.plan("small").unwrap();
    assert!(packages(&plan).contains(&"for-amd64") && !packages(&plan).contains(&"for-arm64"));
    let mut request = Project::request("small");
    request.board = "arm".to_owned();
    let plan = project.library().plan(&request).unwrap();
    assert!(packages(&plan).contains(&"for-arm64") && !packages(&plan).contains(&"for-amd64"));
    let url = &plan.base.archives[0].mirror.url;
    assert_eq!(url.value, "http://a.example/ports");
    // A package that is removed need not be there on every architecture.
    request.recipe = Some("outer".to_owned());
    let plan = project.library().plan(&request).unwrap();
    assert_eq!(
        (plan.version.value.as_str(), plan.name.value.as_str()),
        ("1", "outer")
    );
}

#[test]
fn one_slot_has_no_second_root() {
    let recipe = format!("{SMALL}image.slots = 1\nimage.esp-size = \"128M\"\n");
    let plan = Project::new()
        .with("recipes/small.toml", &recipe)
        .plan("small")
        .unwrap();
    let kinds: Vec<_> = plan.board.partitions.iter().map(|p| p.kind.value).collect();
    assert_eq!(
        kinds,
        [
            PartitionKind::Esp,
            PartitionKind::Root,
            PartitionKind::RootVerity
        ]
    );
    assert_eq!(
        plan.board.partitions[0].size.value,
        PartitionSize::Bytes(128 << 20)
    );
    assert_eq!(plan.image.esp_size.unwrap().value, 128 << 20);
}

#[test]
fn a_recipe_can_bring_its_own_kernel() {
    let recipe = format!("{SMALL}kernel.packages = [\"linux-own\"]\n");
    let plan = Project::new()
        .with("recipes/small.toml", &recipe)
        .plan("small")
        .unwrap();
    assert_eq!(packages(&plan), ["board-firmware", "linux-own", "systemd"]);
}

#[test]
fn nothing_is_left_unencrypted_unless_the_recipe_says_so() {
    let encrypted = |lines: &str| {
        Project::new()
            .with("recipes/small.toml", &format!("{SMALL}{lines}"))
            .plan("small")
    };
    let plan = encrypted("").unwrap();
    assert_eq!(plan.var.encrypt.value, Encryption::Tpm2);
    assert_eq!(plan.var.without_tpm.value, WithoutTpm::Refuse);
    assert!(plan.var.uses_tpm() && !plan.var.uses_key_file());
    let plan = encrypted(
        "var = { encrypt = \"tpm2\", without-tpm = \"key-file\" }\nswap.size = \"1G\"\n\
         data.drives = [\"tank\", \"attic\"]\n",
    )
    .unwrap();
    assert!(plan.var.uses_key_file());
    assert_eq!(plan.swap.size.unwrap().value, 1 << 30);
    let drives: Vec<_> = plan
        .data
        .drives
        .iter()
        .map(|drive| drive.as_str())
        .collect();
    assert_eq!(drives, ["attic", "tank"]);
    let refused = encrypted("var.encrypt = \"none\"\nswap.size = \"1G\"\n").unwrap_err();
    assert!(refused.to_string().contains("swap.size"), "{refused}");
    let refused = encrypted("data.drives = [\"../a\"]\n").unwrap_err();
    assert!(refused.to_string().contains("data.drives"), "{refused}");
}

#[test]
fn what_is_left_to_default_is_what_the_reference_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recipes.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, recipes) = text.split_once("\n## Recipes\n").unwrap();
    let mut compared = 0;
    for (key, value, origin) in Project::new().plan("small").unwrap().explain() {
        if origin != "default" {
            continue;
        }
        let key = match key.as_str() {
            // Where the plan and the files have other names.
            "recommends" => "packages.recommends",
            "reviewed-scripts" => "scripts.reviewed",
            "image.headroom-bytes" => "image.headroom",
            key => key,
        };
        let value = match (key, value.as_str()) {
            ("name" | "system.hostname", "small") => continue,
            ("image.slots", "2") => "2 where the board has slot b",
            ("scripts.reviewed", value) => value.strip_prefix("recipes/").unwrap(),
            ("var.minimum-size", "536870912") => "512M",
            ("qemu.memory" | "board.qemu.memory", "1073741824") => "1G",
            ("board.alignment", "1048576") => "1M",
            (_, value) => value,
        };
        let key = key.strip_prefix("board.").unwrap_or(key);
        let key = match key.strip_prefix("base.archives.release.") {
            Some(rest) => match rest.strip_prefix("mirror.") {
                Some(rest) => format!("mirrors.NAME.{rest}"),
                None => format!("archives.{rest}"),
            },
            None => key.to_owned(),
        };
        let place = if recipes.contains(&format!("\n| `{key}` |")) {
            recipes
        } else {
            &text
        };
        let row = place
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}` |")));
        let row = row.unwrap_or_else(|| panic!("{key} is not in the reference"));
        let said = row.split(" | ").nth(2).unwrap().replace(['`', '"'], "");
        assert_eq!(said, value, "{key}");
        compared += 1;
    }
    assert!(compared >= 18, "only {compared} defaults were compared");
}

#[test]
fn lists_of_what_there_is() {
    let project = Project::new()
        .with(
            "recipes/outer.toml",
            "description = \"outer\"\ninclude = [\"small\"]\n",
        )
        .with("recipes/part.toml", "description = \"a part\"\n")
        .with("recipes/reviewed-scripts.toml", "not = \"a recipe\"\n")
        .with("recipes/README.md", "");
    let library = project.library();
    let boards = library.boards().unwrap();
    assert_eq!(boards.len(), 1);
    assert_eq!(boards[0].name, "board");
    assert_eq!(boards[0].recipe.as_deref(), Some("small"));
    let recipes = library.recipes().unwrap();
    let rows: Vec<_> = recipes
        .iter()
        .map(|r| (r.name.as_str(), r.version.as_deref(), r.include.len()))
        .collect();
    assert_eq!(
        rows,
        [
            ("outer", Some("1"), 1),
            ("part", None, 0),
            ("small", Some("1"), 0)
        ]
    );
    assert_eq!(library.bases().unwrap()[0].release, "trixie");
}

#[test]
fn a_project_is_found_from_below() {
    let project = Project::new();
    let found = Library::discover(&project.path("overlays/first/etc")).unwrap();
    assert_eq!(found.root(), project.root());
}
