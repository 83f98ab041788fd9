//! create, ls, inspect, rm, prune on a store.

use crate::{Scratch, names_in};

#[test]
fn create_prints_the_name_and_ls_lists_it() {
    let scratch = Scratch::new();
    let run = scratch.ok(&["create", "data", "--size", "16M", "--fs", "none"]);
    assert_eq!(run.stdout, "data\n");
    let listed = scratch.ok(&["ls"]);
    let lines = listed.lines();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        [
            "NAME", "KIND", "FS", "SIZE", "USED", "FORMAT", "CREATED", "USED", "BY", "SOURCE"
        ]
    );
    let cells: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!(&cells[..5], ["data", "vhd", "none", "16", "MiB"]);
    assert_eq!(lines.len(), 2);
}

#[test]
fn quiet_prints_names_alone_sorted() {
    let scratch = Scratch::new();
    for name in ["web", "Data", "cache"] {
        scratch.make_volume(name);
    }
    let mut lines = scratch
        .ok(&["ls", "-q"])
        .lines()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    lines.sort();
    assert_eq!(lines, ["Data", "cache", "web"]);
}

#[test]
fn a_name_that_is_taken_ends_with_4_whatever_its_case() {
    let scratch = Scratch::new();
    scratch.make_volume("data");
    for name in ["data", "DATA"] {
        let run = scratch.run(&["create", name, "--size", "16M", "--fs", "none"]);
        assert_eq!(run.code, 4, "{}", run.stderr);
    }
}

#[test]
fn filters_choose_by_label_and_name() {
    let scratch = Scratch::new();
    let small = ["--size", "16M", "--fs", "none"];
    let create = |name: &str, labels: &[&str]| {
        let mut arguments = vec!["create", name];
        arguments.extend(small);
        for label in labels {
            arguments.extend(["--label", label]);
        }
        scratch.ok(&arguments);
    };
    create("web-1", &["app=web", "ci"]);
    create("web-2", &["app=web"]);
    create("db", &["app=db"]);
    let names = |filters: &[&str]| {
        let mut arguments = vec!["ls", "-q"];
        for filter in filters {
            arguments.extend(["--filter", filter]);
        }
        scratch.ok(&arguments).stdout.replace('\n', " ")
    };
    assert_eq!(names(&["label=app=web"]), "web-1 web-2 ");
    assert_eq!(names(&["label=app=web", "label=ci"]), "web-1 ");
    assert_eq!(names(&["label=app"]), "db web-1 web-2 ");
    assert_eq!(names(&["name=db"]), "db ");
    assert_eq!(names(&["fs=ntfs"]), "");
    assert_eq!(scratch.run(&["ls", "--filter", "colour=red"]).code, 2);
}

#[test]
fn inspect_shows_what_create_was_told() {
    let scratch = Scratch::new();
    scratch.ok(&[
        "create",
        "data",
        "--size",
        "64M",
        "--fs",
        "none",
        "--format",
        "vhd",
        "--type",
        "fixed",
        "--layout",
        "disk",
        "--label",
        "app=web",
        "-o",
        "persistent=false",
    ]);
    let document = &scratch.json(&["inspect", "data"])[0];
    for (key, value) in [
        ("name", "data".into()),
        ("state", "ready".into()),
        ("size", (64 << 20).into()),
        ("file_system", "none".into()),
        ("format", "vhd".into()),
        ("type", "fixed".into()),
        ("layout", "disk".into()),
        ("persistent", false.into()),
        ("in_use", false.into()),
    ] {
        let value: serde_json::Value = value;
        assert_eq!(document[key], value, "{key}");
    }
    assert_eq!(document["labels"]["app"], "web");
    assert!(std::path::Path::new(document["image_path"].as_str().unwrap()).is_file());
}

#[test]
fn inspect_shows_those_it_finds_and_fails_for_the_others() {
    let scratch = Scratch::new();
    scratch.make_volume("data");
    let run = scratch.run(&["inspect", "nowhere", "data"]);
    assert_eq!(run.code, 3);
    let found: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["name"], "data");
}

#[test]
fn rm_removes_what_it_can_and_tells_the_rest() {
    let scratch = Scratch::new();
    scratch.make_volume("one");
    scratch.make_volume("two");
    let run = scratch.run(&["rm", "one", "nowhere", "two"]);
    assert_eq!(run.code, 3);
    assert_eq!(run.stdout, "one\ntwo\n");
    assert!(run.stderr.contains("nowhere"));
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
    let forced = scratch.ok(&["rm", "--force", "nowhere"]);
    assert_eq!(forced.stderr, "");
}

#[test]
fn prune_takes_what_is_not_persistent_and_asks_first() {
    let scratch = Scratch::new();
    scratch.make_volume("keep");
    let scrap = ["create", "scrap", "-o", "size=16M,fs=none,persistent=false"];
    scratch.ok(&scrap);
    let refused = scratch.run(&["prune"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "keep\nscrap\n");
    let pruned = scratch.json(&["prune", "--force"]);
    assert_eq!(pruned["removed"], serde_json::json!(["scrap"]));
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "keep\n");
    scratch.ok(&["prune", "-y", "--all"]);
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
}

#[test]
fn a_prune_with_nothing_to_do_asks_nobody() {
    let scratch = Scratch::new();
    scratch.make_volume("keep");
    assert_eq!(scratch.ok(&["prune"]).stdout, "reclaimed 0 B\n");
}

#[test]
fn a_source_that_is_missing_or_no_archive_leaves_nothing() {
    let scratch = Scratch::new();
    let run = scratch.run(&["create", "data", "--size", "64M", "--from", "missing"]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
    scratch.write("file", b"x");
    // A file is taken for a tar archive; this one ends before its first header does.
    let run = scratch.run(&["create", "data", "--size", "64M", "--from", "file"]);
    assert_eq!(run.code, 6, "{}", run.stderr);
    assert!(run.stderr.contains("file: the archive ends early"));
    assert_eq!(scratch.ok(&["ls", "-q"]).stdout, "");
}

#[test]
fn options_beat_the_environment_for_the_root() {
    let scratch = Scratch::new();
    let other = scratch.path("other");
    let other = other.to_str().unwrap();
    scratch.ok(&[
        "--root", other, "create", "data", "--size", "16M", "--fs", "none",
    ]);
    assert!(!scratch.path("store").exists());
    assert_eq!(scratch.ok(&["ls", "-q", "--root", other]).stdout, "data\n");
    assert!(!names_in(&scratch.path("other")).is_empty());
}

#[test]
fn processes_at_once_lose_nothing_and_double_nothing() {
    let scratch = Scratch::new();
    let small = ["--size", "16M", "--fs", "none"];
    let made = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for process in 0..3 {
            let (scratch, made) = (&scratch, &made);
            scope.spawn(move || {
                let own = format!("own-{process}");
                scratch.make_volume(&own);
                scratch.make_volume(&format!("kept-{process}"));
                let run = scratch.run(&[&["create", "shared"][..], &small].concat());
                match run.code {
                    0 => made.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                    code => {
                        assert_eq!(code, 4, "{}", run.stderr);
                        0
                    }
                };
                assert!(scratch.ok(&["ls", "-q"]).lines().contains(&own.as_str()));
                scratch.ok(&["rm", &own]);
            });
        }
    });
    assert_eq!(made.into_inner(), 1);
    let listed = scratch.ok(&["ls", "-q"]).stdout;
    assert_eq!(listed, "kept-0\nkept-1\nkept-2\nshared\n");
    assert_eq!(names_in(&scratch.path("store/volumes")).len(), 4);
    assert_eq!(names_in(&scratch.path("store/locks")), [""; 0]);
}
