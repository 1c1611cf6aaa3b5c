//! How the program feels: help, tables, JSON, colours, completions, man pages, exit codes.

use fortress_tests::{
    BENCH, BENCH_IMAGE, Program, ProjectCopy, Ran, bench_arguments, names, project_folder,
    target_folder, test_keys,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// All commands, as they are called.
const COMMANDS: [&str; 26] = [
    "",
    "image",
    "sign",
    "attach",
    "verify",
    "pack",
    "flash",
    "test",
    "plan",
    "boards",
    "recipes",
    "lock",
    "keys",
    "keys new",
    "keys show",
    "keys export",
    "keys rotate",
    "keys use-command",
    "keys sign",
    "store",
    "store gc",
    "store verify",
    "store path",
    "doctor",
    "completions",
    "manual",
];

#[track_caller]
fn run(arguments: &str) -> Ran {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    Program::new(&words).run()
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Names of the TOML files in a folder of the project, without their ending.
fn files(folder: &str) -> BTreeSet<String> {
    let names = names(&project_folder().join(folder)).into_iter();
    names
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(target_folder()).unwrap()
}

#[test]
fn help_is_as_reviewed() {
    let mut text = String::new();
    for command in COMMANDS {
        for option in ["-h", "--help"] {
            text.push_str(&format!("$ fortress-build {command} {option}\n"));
            // Without values of this very test's environment.
            let mut words: Vec<&str> = command.split_whitespace().collect();
            words.push(option);
            let ran = Program::new(&words).bare().run();
            text.push_str(&ran.success());
            text.push('\n');
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    let reviewed = fs::read_to_string(&path).unwrap_or_default();
    if text != reviewed {
        let new = target_folder().join("help.txt");
        fs::write(&new, text).unwrap();
        panic!(
            "help has changed. If it is better now: cp {} {}",
            new.display(),
            path.display()
        );
    }
}

#[test]
fn every_command_is_in_the_help() {
    let help = run("--help").success();
    for command in COMMANDS.iter().filter(|command| !command.contains(' ')) {
        assert!(help.contains(&format!("\n  {command}")), "{command}");
    }
    // And every exit code that the others use.
    for code in ["1  ", "2  ", "3  ", "4  ", "10 ", "13 ", "130 "] {
        assert!(help.contains(&format!("\n  {code}")), "{code}");
    }
}

#[test]
fn a_wrong_command_line_is_told_with_what_was_meant() {
    for (arguments, expected) in [
        ("imge", "similar subcommand exists: 'image'"),
        ("image --bord x86", "similar argument exists: '--board'"),
        ("image", "--board <BOARD>"),
        ("image --board x86 --locked --update", "cannot be used with"),
        ("plan --board x86 --set hostname", "it has to be KEY=VALUE"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{arguments}");
        assert!(ran.errors.contains(expected), "{arguments}: {}", ran.errors);
    }
}

#[test]
fn boards_and_recipes_are_all_listed() {
    let first_words = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.split(' ').next());
        lines.map(str::to_owned).collect()
    };
    let named = |list: &Value| -> BTreeSet<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let table = run("boards").success();
    assert!(first_words(&table).is_superset(&files("boards")), "{table}");
    assert_eq!(
        named(&json(&run("boards --json").success())),
        files("boards")
    );
    let table = run("recipes").success();
    let list = json(&run("recipes --json").success());
    assert_eq!(named(&list["bases"]), files("recipes/bases"));
    assert!(
        first_words(&table).is_superset(&files("recipes/bases")),
        "{table}"
    );
    // What is reviewed is no recipe.
    let mut recipes = files("recipes");
    recipes.remove("reviewed-scripts");
    assert_eq!(named(&list["recipes"]), recipes);
    assert!(first_words(&table).is_superset(&recipes), "{table}");
}

/// All places that a plan names, wherever they are in it.
fn origins(plan: &Value, found: &mut BTreeSet<String>) {
    match plan {
        Value::Object(table) => {
            for (key, value) in table {
                match value.as_str() {
                    Some(origin) if key == "origin" => drop(found.insert(origin.to_owned())),
                    _ => origins(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| origins(value, found)),
        _ => {}
    }
}

#[test]
fn a_plan_says_where_each_value_is_from() {
    let arguments = "plan --json --board x86 --base debian-13 --set image.headroom-percent=7";
    let text = run(arguments).success();
    assert_eq!(text, run(arguments).success());
    let plan = json(&text);
    assert_eq!(plan["image"]["headroom_percent"]["value"], 7, "{text}");
    let mut places = BTreeSet::new();
    origins(&plan, &mut places);
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        if place == "default" || place.starts_with("command line: ") {
            continue;
        }
        // FILE:LINE, and that line is there.
        let (file, line) = place.rsplit_once(':').unwrap();
        let text = fs::read_to_string(project_folder().join(file)).unwrap();
        let line: usize = line.parse().unwrap();
        assert!((1..=text.lines().count()).contains(&line), "{place}");
    }
    // What others can look up is sorted.
    for list in ["packages", "left_out"] {
        let values: Vec<&str> = plan[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["value"]["name"].as_str().unwrap())
            .collect();
        assert!(values.len() > 1 && values.is_sorted(), "{list}: {values:?}");
    }
    let table = run(&arguments.replace(" --json", "")).success();
    let is_said = |line: &&str| line.contains("headroom-percent") && line.contains("command line");
    assert_eq!(table.lines().filter(is_said).count(), 1, "{table}");
}

#[test]
fn another_place_gives_the_same_plan() {
    let copy = ProjectCopy::new();
    let arguments = ["plan", "--json", "--board", "x86"];
    let here = Program::new(&arguments).run().success();
    // Found upward from where one is.
    let below = copy.path().join("overlays");
    let there = Program::new(&arguments).within(&below).run().success();
    assert_eq!(here, there);
    let nowhere = tempfile::tempdir().unwrap();
    let said = Program::new(&["plan", "--board", "x86"])
        .within(nowhere.path())
        .run()
        .refusal(3);
    assert!(
        said.contains("there is no project folder at or above"),
        "{said}"
    );
    assert!(said.contains("\nhint: "), "{said}");
}

#[test]
fn results_are_on_standard_output_and_progress_is_not() {
    let output = folder();
    let ran = Program::new(&bench_arguments(output.path())).run();
    let image = output.path().join(BENCH_IMAGE);
    for stage in ["configure", "write the root"] {
        assert!(ran.errors.contains(&format!("{stage}: begins")), "{ran:?}");
        assert!(!ran.output.contains(stage), "{ran:?}");
    }
    let result = ran.success();
    let line = |name: &str| {
        let found = result.lines().find(|line| line.starts_with(name));
        found
            .unwrap_or_else(|| panic!("{name}: {result}"))
            .to_owned()
    };
    assert!(line("image ").ends_with(image.to_str().unwrap()));
    assert_eq!(
        line("root hash ").split_whitespace().last().unwrap().len(),
        64
    );
    assert!(line("next ").ends_with(&format!(" test {}", image.display())));

    let mut arguments = bench_arguments(output.path());
    arguments.push("--quiet".into());
    let ran = Program::new(&arguments).run();
    let is_warning = |line: &str| line.starts_with("warning: ");
    assert!(ran.errors.lines().all(is_warning), "{ran:?}");
    assert!(ran.success().contains(image.to_str().unwrap()));
}

#[test]
fn json_is_json_to_the_last_line() {
    let output = folder();
    let mut arguments = bench_arguments(output.path());
    arguments.push("--json".into());
    let ran = Program::new(&arguments).run();
    let events: Vec<Value> = ran.errors.lines().map(json).collect();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert!(
        count("begin") > 2 && count("begin") == count("end"),
        "{events:?}"
    );
    let result = json(&ran.success());
    let image = Path::new(result["image"].as_str().unwrap());
    assert_eq!(image, output.path().join(BENCH_IMAGE));
    let manifest = fs::read_to_string(result["manifest"].as_str().unwrap()).unwrap();
    assert_eq!(result["root_hash"], json(&manifest)["root_hash"]);

    // A machine that is another board is refused before anything is started.
    let named = image.to_str().unwrap();
    let ran = Program::new(&["test", named, "--machine", "virt"]).run();
    let said = ran.refusal(13);
    assert!(
        said.contains("board \"x86\"\nhint: leave --machine away"),
        "{said}"
    );

    let ran = run("plan --board x87 --json");
    assert_eq!((ran.code, ran.output.as_str()), (3, ""));
    let said = json(&ran.errors);
    assert_eq!(said["exit_code"], 3);
    assert!(
        said["error"][0]
            .as_str()
            .unwrap()
            .contains("no board `x87`")
    );
    assert!(said["hint"].as_str().unwrap().starts_with("there are: "));
}

/// What a build shows on a terminal.
#[track_caller]
fn on_terminal(variables: &[(&str, &str)]) -> String {
    let output = folder();
    let words: Vec<String> = bench_arguments(output.path());
    let line = format!("{} {}", Program::path().display(), words.join(" "));
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("FORTRESS_STORE", target_folder().join("test-store"))
        .env("FORTRESS_KEYS", test_keys())
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .envs(variables.iter().copied())
        .current_dir(project_folder());
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
fn bars_have_colours_unless_they_are_not_wanted() {
    // The escape sequences of colours and of bold end in `m` (ECMA-48, 8.3.117).
    let coloured = |text: &str| {
        let mut parts = text.split("\x1b[").skip(1);
        parts.any(|part| {
            let end = part.find(|letter: char| letter.is_ascii_alphabetic());
            end.is_some_and(|end| part[end..].starts_with('m'))
        })
    };
    let shown = on_terminal(&[]);
    assert!(shown.contains('[') && coloured(&shown), "{shown:?}");
    let shown = on_terminal(&[("NO_COLOR", "1")]);
    assert!(
        shown.contains("configure") && !coloured(&shown),
        "{shown:?}"
    );
    let shown = on_terminal(&[("TERM", "dumb")]);
    assert!(
        shown.contains("configure: begins") && !shown.contains('\x1b'),
        "{shown:?}"
    );
}

#[test]
fn shells_accept_the_completions() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&format!("completions {shell}")).success();
        for command in ["image", "plan", "doctor", "offline"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        let path = folder.path().join(shell);
        fs::write(&path, script).unwrap();
        let ran = Command::new(shell).arg("-n").arg(&path).output();
        match ran {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(error) => panic!("{shell} (apt-get install {shell}): {error}"),
        }
    }
    // And they complete.
    let script = format!(
        "source {}; COMP_WORDS=(fortress-build pl); COMP_CWORD=1; \
         complete=$(complete -p fortress-build); complete=${{complete##*-F }}; \
         ${{complete%% *}} fortress-build pl fortress-build; echo \"${{COMPREPLY[@]}}\"",
        folder.path().join("bash").display()
    );
    let ran = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "plan\n", "{ran:?}");
}

#[test]
fn man_pages_have_no_faults() {
    let folder = folder();
    let path = folder.path().to_str().unwrap();
    run(&format!("manual {path}")).success();
    let pages = names(folder.path());
    assert_eq!(pages.len(), COMMANDS.len(), "{pages:?}");
    for page in pages {
        let page = folder.path().join(page);
        let ran = Command::new("man")
            .args(["--warnings", "--encoding=UTF-8", "--local-file"])
            .arg(&page)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "100")
            .output();
        match ran {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && errors.is_empty(), "{errors}");
                assert!(output.stdout.len() > 500, "{}", page.display());
            }
            Err(error) => panic!("man (apt-get install man-db): {error}"),
        }
    }
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let script = "\"$0\" plan --board x86 | head -n 1; \"$0\" plan --board x86 > /dev/full";
    let program = Program::path();
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", script]).arg(program);
    let ran = command.current_dir(project_folder()).output().unwrap();
    let errors = String::from_utf8_lossy(&ran.stderr);
    // The first says nothing, and the second that it could not say anything.
    assert_eq!(ran.status.code(), Some(1));
    let expected = "error: cannot write to standard output: No space left on device";
    assert!(errors.starts_with(expected), "{errors}");
}

#[test]
fn doctor_says_what_to_install() {
    let ran = Program::new(&["doctor"]).variable("PATH", "").run();
    assert_eq!(ran.code, 13, "{ran:?}");
    assert!(ran.output.contains("\nmissing ") || ran.output.starts_with("missing "));
    let install = ran
        .output
        .lines()
        .find(|line| line.contains("apt-get install "));
    assert!(install.unwrap().contains("qemu-system-x86"), "{ran:?}");
    let ran = Program::new(&["doctor", "--json"])
        .variable("PATH", "")
        .run();
    let needs = json(&ran.output);
    let needs = needs.as_array().unwrap();
    assert!(
        needs.iter().any(|need| need["present"] == false),
        "{needs:?}"
    );
}

#[test]
fn the_store_is_where_it_is_said_to_be() {
    let cache = folder();
    let said = |variables: &[(&str, &Path)], options: &[&str]| {
        let mut run = Program::new(&[&["store", "path"], options].concat()).bare();
        for (name, value) in variables {
            run = run.variable(name, value);
        }
        run.run()
    };
    let at = |name: &str| cache.path().join(name);
    let (home, xdg, named) = (at("home"), at("xdg"), at("named"));
    let expect = |ran: Ran, store: &Path| assert_eq!(Path::new(ran.success().trim()), store);
    expect(
        said(&[("HOME", &home)], &[]),
        &home.join(".cache/fortress/store"),
    );
    let both = [("HOME", home.as_path()), ("XDG_CACHE_HOME", &xdg)];
    expect(said(&both, &[]), &xdg.join("fortress/store"));
    expect(said(&[("FORTRESS_STORE", &named)], &[]), &named);
    let option = ["--store", named.to_str().unwrap()];
    expect(said(&both, &option), &named);
    let refused = said(&[], &[]).refusal(4);
    assert!(
        refused.contains("neither XDG_CACHE_HOME nor HOME"),
        "{refused}"
    );
    fs::create_dir_all(at("other")).unwrap();
    fs::write(at("other/file"), "mine").unwrap();
    let refused = said(&[("FORTRESS_STORE", &at("other"))], &[]).refusal(4);
    assert!(
        refused.contains("it is not empty and holds no store"),
        "{refused}"
    );
    assert_eq!(names(&at("other")), ["file"]);
}

#[test]
fn damage_in_the_store_is_found_and_mended() {
    let store = fortress_tests::store_of_downloads();
    let path = store.path().to_str().unwrap();
    run(&format!("store verify --store {path}")).success();
    // A package of the bench image. Another file takes its name, so that the store that all share
    // keeps its own.
    let lock = fortress_tests::bench_lock();
    let text = fs::read_to_string(lock).unwrap();
    let (_, digest) = text.rsplit_once("\nsha256 = \"").unwrap();
    let (digest, _) = digest.split_once('"').unwrap();
    let blob = store.path().join("blobs").join(&digest[..2]).join(digest);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[0] ^= 1;
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    let ran = run(&format!("store verify --store {path}"));
    assert_eq!(ran.code, 1);
    assert!(ran.output.contains(digest), "{ran:?}");
    run(&format!("store verify --remove --store {path}")).success();
    assert!(!blob.exists());
    run(&format!("store verify --store {path}")).success();
    // Without it and without a network, a build says what it lacks.
    let output = folder();
    let mut arguments = vec!["image", "--offline", "--store", path, "--output"];
    arguments.push(output.path().to_str().unwrap());
    arguments.extend(["--lock", lock.to_str().unwrap()]);
    arguments.extend(BENCH);
    let said = Program::new(&arguments).run().refusal(4);
    let expected = "error: cannot work offline: not in the store: ";
    assert!(said.starts_with(expected), "{said}");
    assert!(
        said.contains("\nhint: run once without --offline"),
        "{said}"
    );
    assert_eq!(names(output.path()), [""; 0]);
}
