//! Small worlds, each a table of packages, and what comes of requests to them.

use super::*;
use crate::index::SuiteState;
use crate::packages;
use fortress_store::Digest;
use proptest::prelude::*;

/// An index of suites, each with its priority, its `only` list and its packages: a line each,
/// `name version; Field: value; …`.
fn world(suites: &[(&str, i32, &[&str], &str)]) -> Index {
    let mut states = Vec::new();
    let mut parts = Vec::new();
    for (number, (suite, priority, only, lines)) in suites.iter().enumerate() {
        states.push(SuiteState {
            source: (*suite).to_owned(),
            suite: (*suite).to_owned(),
            codename: (*suite).to_owned(),
            origin: String::new(),
            label: String::new(),
            date: 0,
            valid_until: None,
            release: Digest::of(b""),
            signer: String::new(),
            priority: *priority,
            only: only.iter().map(|name| (*name).to_owned()).collect(),
        });
        let mut text = String::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut words = line.split(';').map(str::trim);
            let (name, version) = words.next().unwrap().split_once(' ').unwrap();
            let fields: Vec<&str> = words.collect();
            text += &format!("Package: {name}\nVersion: {version}\n");
            if !fields
                .iter()
                .any(|field| field.starts_with("Architecture:"))
            {
                text += "Architecture: amd64\n";
            }
            text += &format!(
                "Filename: pool/{name}.deb\nSize: 1\nSHA256: {}\n",
                Digest::of(b"")
            );
            text += &fields.join("\n");
            text += "\n\n";
        }
        parts.push((number, packages::parse(text.as_bytes()).unwrap()));
    }
    Index::new("amd64", states, parts).unwrap()
}

fn one(lines: &str) -> Index {
    world(&[("stable", 500, &[], lines)])
}

fn request(roots: &[&str]) -> Request {
    Request {
        roots: roots.iter().map(|root| (*root).to_owned()).collect(),
        ..Request::default()
    }
}

/// The closure as `name version` words; or the error.
fn closure(index: &Index, request: &Request) -> String {
    match resolve(index, request) {
        Ok(resolution) => {
            let packages = resolution.packages.iter();
            let words: Vec<String> = packages
                .map(|stanza| format!("{} {}", stanza.name(), stanza.version()))
                .collect();
            words.join(", ")
        }
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn gives(lines: &str, roots: &[&str], wanted: &str) {
    assert_eq!(closure(&one(lines), &request(roots)), wanted);
}

#[test]
fn prefers_as_apt_does() {
    // The first alternative; unless another is there already.
    gives("a 1; Depends: b | c\nb 1\nc 1", &["a"], "a 1, b 1");
    gives("a 1; Depends: b | c\nb 1\nc 1", &["a", "c"], "a 1, c 1");
    gives("a 1; Depends: none | c\nc 1", &["a"], "a 1, c 1");
    // The package of a name before those that provide it.
    gives("a 1; Depends: v\nb 1; Provides: v\nv 1", &["a"], "a 1, v 1");
    gives("a 1; Depends: v\nb 1; Provides: v", &["a"], "a 1, b 1");
    // Among those that provide: the one that matters most, then the last.
    gives(
        "a 1; Depends: v\nb 1; Provides: v; Priority: standard\nc 1; Provides: v; Priority: optional",
        &["a"],
        "a 1, b 1",
    );
    gives(
        "a 1; Depends: v\nb 1; Provides: v\nc 1; Provides: v",
        &["a"],
        "a 1, c 1",
    );
    // Depth first: what the first one needs decides for the second.
    gives(
        "a 1; Depends: x\nx 1; Depends: runc\nb 1; Depends: crun | runc\nrunc 1\ncrun 1",
        &["a", "b"],
        "a 1, b 1, runc 1, x 1",
    );
    // The highest version, by Debian's rules.
    gives("a 1.9\na 1.10\na 1.10~rc1", &["a"], "a 1.10");
    gives("a 1\nb 1; Pre-Depends: a", &["b"], "a 1, b 1");
}

#[test]
fn keeps_to_versions() {
    let lines = "a 1; Depends: b (>= 2), c (<< 3)\nb 1\nb 2\nb 3; Breaks: a\nc 2\nc 3";
    gives(lines, &["a"], "a 1, b 2, c 2");
    gives("a 1; Depends: b (= 1)\nb 1\nb 2", &["a"], "a 1, b 1");
    gives("a 1\na 2", &["a=1"], "a 1");
    gives("a 1\na 2", &["a (<< 2)"], "a 1");
    // Only a versioned provision meets a versioned relation.
    gives(
        "a 1; Depends: v (>= 2)\nb 9; Provides: v\nc 1; Provides: v (= 2)",
        &["a"],
        "a 1, c 1",
    );
    gives(
        "a 1; Depends: v (>= 2)\nb 9; Provides: v (= 1), v (= 3)",
        &["a"],
        "a 1, b 9",
    );
}

#[test]
fn keeps_what_conflicts_apart() {
    let lines = "a 1; Depends: v\nb 1; Provides: v; Conflicts: v\nc 1; Provides: v; Conflicts: v";
    gives(lines, &["a", "b"], "a 1, b 1");
    gives(
        "a 1; Depends: b | c\nb 1; Conflicts: d\nc 1\nd 1",
        &["a", "d"],
        "a 1, c 1, d 1",
    );
    gives(
        "a 1; Depends: b\nb 2; Breaks: a (<< 2)\nb 1",
        &["a"],
        "a 1, b 1",
    );
    // A way out that apt's classic solver would not see: an older version.
    gives("a 2; Depends: x (>= 9)\na 1\nx 1", &["a"], "a 1");
    let error = closure(&one("a 1; Conflicts: b (<< 2)\nb 1"), &request(&["a", "b"]));
    assert!(
        error.contains("a 1 (stable) conflicts with b (<< 2), as b 1 (stable)"),
        "{error}"
    );
}

#[test]
fn reads_architectures() {
    let lines = "a 1; Depends: p:any, q:any\np 1; Multi-Arch: allowed\nq 1; Multi-Arch: allowed";
    gives(lines, &["a"], "a 1, p 1, q 1");
    let error = closure(&one("a 1; Depends: p:any\np 1"), &request(&["a"]));
    assert!(
        error.contains("nothing meets p:any; there is p 1 (stable)"),
        "{error}"
    );
    gives("a 1; Depends: p:amd64\np 1", &["a:amd64"], "a 1, p 1");
    gives(
        "a 1; Architecture: all; Depends: p\np 1",
        &["a"],
        "a 1, p 1",
    );
    let error = closure(&one("a 1"), &request(&["a:arm64"]));
    assert_eq!(
        error,
        "cannot read the request \"a:arm64\": only amd64 is loaded"
    );
}

#[test]
fn weighs_suites() {
    let suites: &[(&str, i32, &[&str], &str)] = &[
        ("stable", 500, &[], "a 1\nb 1\nc 1; Depends: a (>= 2)"),
        ("security", 500, &[], "a 1.1"),
        ("backports", 100, &[], "a 2\nb 2"),
        ("pinned", 990, &["b"], "a 3\nb 0.9\nx 1"),
        ("never", -1, &[], "a 9"),
    ];
    let index = world(suites);
    assert_eq!(closure(&index, &request(&["a", "b"])), "a 1.1, b 0.9");
    // A lower priority is taken where nothing else will do.
    assert_eq!(closure(&index, &request(&["c"])), "a 2, c 1");
    assert_eq!(closure(&index, &request(&["a=2"])), "a 2");
    let error = closure(&index, &request(&["x"]));
    assert!(
        error.contains("x 1 (pinned), but of pinned, only some packages are taken"),
        "{error}"
    );
    let error = closure(&index, &request(&["a=9"]));
    assert!(
        error.contains("a 9 (never), but never has the priority -1"),
        "{error}"
    );
    let pinned = [(
        "stable",
        500,
        &["src"] as &[&str],
        "a 1; Source: src (0.5)\nb 1",
    )];
    assert_eq!(closure(&world(&pinned), &request(&["a"])), "a 1");
}

#[test]
fn waits_for_phased_updates() {
    let index = world(&[
        ("noble", 500, &[], "a 1\nb 1\nc 1"),
        (
            "noble-updates",
            500,
            &[],
            "a 2; Phased-Update-Percentage: 30\nb 2; Phased-Update-Percentage: 100\n\
             c 2; Phased-Update-Percentage: 10",
        ),
        ("noble-security", 500, &[], "c 2"),
    ]);
    assert_eq!(closure(&index, &request(&["a", "b", "c"])), "a 1, b 2, c 2");
    assert_eq!(closure(&index, &request(&["a=2"])), "a 2");
    let all = Request {
        phased: true,
        ..request(&["a"])
    };
    assert_eq!(closure(&index, &all), "a 2");
}

#[test]
fn leaves_out() {
    let index =
        one("a 1; Depends: b, c | d, e\nb 1\nc 1\nd 1\ne 1; Depends: b\nbash 1; Essential: yes");
    let without = |names: &[&str]| Request {
        essential: true,
        excluded: names
            .iter()
            .map(|name| Excluded {
                name: (*name).to_owned(),
                reason: "not here".into(),
            })
            .collect(),
        ..request(&["a"])
    };
    assert_eq!(
        closure(&index, &without(&["b", "c"])),
        "a 1, bash 1, d 1, e 1"
    );
    let resolution = resolve(&index, &without(&["b", "c", "bash"])).unwrap();
    let b = LeftOut {
        name: "b".into(),
        reason: "not here".into(),
        needed_by: vec!["a".into(), "e".into()],
    };
    assert_eq!(resolution.left_out, [b]);
    assert_eq!(resolution.packages.len(), 3);
    assert_eq!(closure(&index, &without(&["a"])), "bash 1");
}

#[test]
fn brings_what_is_recommended_where_it_can() {
    let lines =
        "a 1; Recommends: b, c | d, none, e\nb 1; Recommends: f\nd 1\ne 1; Conflicts: a\nf 1";
    let wishes = Request {
        recommends: true,
        ..request(&["a"])
    };
    assert_eq!(closure(&one(lines), &wishes), "a 1, b 1, d 1, f 1");
    assert_eq!(closure(&one(lines), &request(&["a"])), "a 1");
}

#[test]
fn says_what_is_wrong() {
    let index =
        one("nginx 1; Depends: libfoo (>= 3)\nlibfoo 2\nnginx-core 1\nbroken 1; Depends: (");
    let error = resolve(&index, &request(&["ngnix"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no package is named ngnix; did you mean nginx?"
    );
    assert_eq!(
        closure(&index, &request(&["nginx"])),
        "cannot install what was asked for:\n  nginx is asked for: nginx 1 (stable)\n  \
         nginx 1 (stable) needs libfoo (>= 3)\n  \
         nothing meets libfoo (>= 3); there is libfoo 2 (stable)"
    );
    let error = closure(&index, &request(&["broken"]));
    assert!(
        error.contains("broken 1 (stable) has no closing bracket in \"(\""),
        "{error}"
    );
    let error = closure(&index, &request(&["a b"]));
    assert_eq!(
        error,
        "cannot read the request \"a b\": no sound name in \"a b\""
    );
    assert_eq!(
        closure(&index, &request(&["nginx|"]))
            .lines()
            .next()
            .unwrap_or_default(),
        "cannot read the request \"nginx|\": no sound name in \" \""
    );
    let error = closure(&index, &request(&["nginx=7"]));
    assert!(
        error.contains("nothing meets nginx (= 7); there is nginx 1 (stable)"),
        "{error}"
    );
}

#[test]
fn ends_with_cycles_and_depth() {
    gives(
        "a 1; Depends: b\nb 1; Depends: c\nc 1; Depends: a",
        &["b"],
        "a 1, b 1, c 1",
    );
    let chain: Vec<String> = (0..5000)
        .map(|number| format!("p{number} 1; Depends: p{}", number + 1))
        .collect();
    let index = one(&(chain.join("\n") + "\np5000 1"));
    assert_eq!(
        resolve(&index, &request(&["p0"])).unwrap().packages.len(),
        5001
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the world: an answer in which each package finds what it depends on and none
    /// conflicts, or an error; and the same one again.
    #[test]
    fn answers_are_sound(
        packages in proptest::collection::vec(
            (0..8_u8, 1..4_u8, proptest::collection::vec((0..8_u8, 0..8_u8, 1..4_u8), 0..3), 0..12_u8),
            1..20,
        ),
    ) {
        let mut lines = String::new();
        for (name, version, depends, conflict) in packages {
            let depends: Vec<String> = depends
                .iter()
                .map(|(one, other, version)| format!("p{one} (>= {version}) | p{other}"))
                .collect();
            lines += &format!("p{name} {version}; Depends: {}; Breaks: p{conflict} (<< 2)\n", depends.join(", "));
        }
        let index = one(&lines);
        let request = request(&["p0", "p1 | p2"]);
        let again = closure(&index, &request);
        prop_assert_eq!(closure(&index, &request), again);
        if let Ok(resolution) = resolve(&index, &request) {
            let has = |relation: &dependency::Relation<'_>, but: &str| {
                resolution.packages.iter().any(|stanza| {
                    stanza.name() == relation.name && stanza.name() != but
                        && relation.version.as_ref().is_none_or(|(operator, wanted)| {
                            operator.holds(stanza.version().parse::<debversion::Version>().unwrap().cmp(wanted))
                        })
                })
            };
            for stanza in &resolution.packages {
                for group in stanza.depends() {
                    let met = dependency::alternatives(group).unwrap().iter().any(|one| has(one, ""));
                    prop_assert!(met, "{} needs {}", stanza, group);
                }
                for relation in stanza.conflicts() {
                    let relation = dependency::Relation::parse(relation).unwrap();
                    prop_assert!(!has(&relation, stanza.name()), "{} has a conflict", stanza);
                }
            }
        }
    }
}
