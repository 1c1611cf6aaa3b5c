//! A board, a recipe, a base, a site file and an option, up to the plan.
#![no_main]

use fortress_fuzz::{folder, texts, write};
use fortress_recipe::{Library, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([board, recipe, base, site, value]) = texts(data) else {
        return;
    };
    let folder = folder();
    let folder = folder.path();
    write(folder, "boards/board.toml", board);
    write(folder, "recipes/recipe.toml", recipe);
    write(
        folder,
        "recipes/common.toml",
        "description = \"a\"\nversion = \"1\"\n",
    );
    write(folder, "recipes/bases/base.toml", base);
    write(folder, "keys/key", "");
    let site = write(folder, "site.toml", site);
    let library = Library::open(folder).expect("it is a project");
    let _ = (library.boards(), library.recipes(), library.bases());
    let mut request = Request {
        board: "board".into(),
        recipe: Some("recipe".into()),
        base: Some("base".into()),
        ..Request::default()
    };
    for round in 0..3 {
        match round {
            1 => request.site = Some(site.clone()),
            2 => {
                let (key, value) = value.split_once('=').unwrap_or(("system.hostname", value));
                request.sets = vec![(key.to_owned(), value.to_owned())];
            }
            _ => {}
        }
        match library.plan(&request) {
            Ok(plan) => drop(plan.explain()),
            Err(error) => drop(error.to_string()),
        }
    }
});
