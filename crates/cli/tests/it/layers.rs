//! Snapshots and clones by the command: what each verb shows, and what it refuses in which words.

use crate::Scratch;

fn store_with_data(scratch: &Scratch) {
    std::fs::create_dir(scratch.path("tree")).unwrap();
    scratch.write("tree/config.txt", b"version 1");
    let made = ["create", "data", "--size", "64M", "--from", "tree"];
    scratch.ok(&made);
}

fn cat(scratch: &Scratch, volume: &str) -> String {
    scratch
        .ok(&["cat", &format!("{volume}:/config.txt")])
        .stdout
}

#[test]
fn a_snapshot_is_read_wherever_a_volume_is_and_restored() {
    let scratch = Scratch::new();
    store_with_data(&scratch);
    assert_eq!(
        scratch.ok(&["snapshot", "create", "data@before"]).stdout,
        "data@before\n"
    );
    scratch.write("new.txt", b"version 2");
    scratch.ok(&["cp", "new.txt", "data:/config.txt"]);
    assert_eq!(cat(&scratch, "data"), "version 2");
    assert_eq!(cat(&scratch, "data@before"), "version 1");
    for words in [
        &["ls", "data@before:/"][..],
        &["tree", "data@before"],
        &["cp", "data@before:/config.txt", "out.txt"],
        &["export", "data@before", "-o", "out.tar"],
        &["info", "data@before"],
        &["check", "data@before"],
        &["fsck", "data@before"],
        &["convert", "data@before", "out.raw"],
        &["inspect", "data"],
    ] {
        scratch.ok(words);
    }
    assert_eq!(
        std::fs::read(scratch.path("out.txt")).unwrap(),
        b"version 1"
    );
    // What writes refuses it.
    for words in [
        &["cp", "new.txt", "data@before:/config.txt"][..],
        &["rm", "data@before:/config.txt"],
        &["mkdir", "data@before:/folder"],
    ] {
        let run = scratch.run(words);
        assert_eq!(run.code, 2, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains("snapshot"), "{}", run.stderr);
    }
    scratch.ok(&["snapshot", "restore", "data@before"]);
    assert_eq!(cat(&scratch, "data"), "version 1");
    let missing = scratch.json_error(&["snapshot", "restore", "data@after"], 3);
    let message = missing["error"]["message"].as_str().unwrap();
    assert!(message.contains("no snapshot named \"after\""), "{message}");
    scratch.json_error(&["snapshot", "create", "data@before"], 4);
    scratch.json_error(&["snapshot", "create", "data"], 2);
    scratch.json_error(&["snapshot", "create", "other@before"], 3);
}

#[test]
fn snapshots_are_listed_and_removed() {
    let scratch = Scratch::new();
    store_with_data(&scratch);
    scratch.ok(&["snapshot", "create", "data@one"]);
    scratch.write("new.txt", b"version 2");
    scratch.ok(&["cp", "new.txt", "data:/config.txt"]);
    scratch.ok(&["snapshot", "create", "data@two"]);
    let listed = scratch.json(&["snapshot", "ls", "data"]);
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| snapshot["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["data@one", "data@two"]);
    assert_eq!(listed[1]["parent"], "data@one");
    assert!(listed[0]["used"].as_u64().unwrap() > 0);
    assert_eq!(
        scratch.ok(&["snapshot", "ls", "-q"]).stdout,
        "data@one\ndata@two\n"
    );
    let inspected = scratch.json(&["inspect", "data"]);
    assert_eq!(inspected[0]["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(inspected[0]["layers"].as_array().unwrap().len(), 3);
    let removed = scratch.json(&["snapshot", "rm", "data@two", "data@one"]);
    assert_eq!(removed["removed"].as_array().unwrap().len(), 2);
    assert_eq!(cat(&scratch, "data"), "version 2");
    scratch.ok(&["check", "data"]);
    scratch.ok(&["fsck", "data"]);
    assert_eq!(scratch.json(&["snapshot", "ls"]), serde_json::json!([]));
    scratch.ok(&["snapshot", "rm", "-f", "data@two"]);
    scratch.json_error(&["snapshot", "rm", "data@two"], 3);
}

#[test]
fn what_clones_stand_on_is_not_removed_and_says_of_whom() {
    let scratch = Scratch::new();
    store_with_data(&scratch);
    scratch.ok(&["snapshot", "create", "data@v1"]);
    let made = scratch.json(&["clone", "data@v1", "web1", "-l", "app=web"]);
    assert_eq!(made["base"], "data@v1");
    assert_eq!(made["took_snapshot"], false);
    let made = scratch.json(&["create", "web2", "--base", "data", "--size", "80M"]);
    assert_eq!(made["base"], "data@v1");
    scratch.write("new.txt", b"version 2");
    scratch.ok(&["cp", "new.txt", "web1:/config.txt"]);
    assert_eq!(cat(&scratch, "web1"), "version 2");
    assert_eq!(cat(&scratch, "web2"), "version 1");
    let inspected = scratch.json(&["inspect", "web2", "data"]);
    assert_eq!(inspected[0]["base"], "data@v1");
    assert_eq!(inspected[0]["size"], 80 << 20);
    assert_eq!(inspected[1]["clones"], serde_json::json!(["web1", "web2"]));
    let listed = scratch.json(&["ls", "--filter", "name=web1"]);
    assert_eq!(
        (&listed[0]["base"], &listed[0]["snapshots"]),
        (&"data@v1".into(), &0.into())
    );
    let table = scratch.ok(&["ls", "-l"]).stdout;
    assert!(
        table.contains("SNAPSHOTS") && table.contains("data@v1"),
        "{table}"
    );
    for words in [&["rm", "data"][..], &["snapshot", "rm", "data@v1"]] {
        let refused = scratch.json_error(words, 5);
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains("\"web1\""), "{message}");
        assert!(message.contains("\"web2\""), "{message}");
    }
    for words in [
        &["create", "x1", "--base", "data", "--fs", "fat32"][..],
        &["create", "x1", "--base", "data", "--size", "1M"],
        &["create", "x1", "--base", "data", "--from", "tree"],
    ] {
        assert_eq!(scratch.run(words).code, 2, "{words:?}");
    }
    scratch.json_error(&["clone", "data@v9", "x1"], 3);
    scratch.json_error(&["clone", "data@v1", "web1"], 4);
    scratch.ok(&["rm", "web1", "web2"]);
    scratch.ok(&["rm", "data"]);
}

#[test]
fn a_raw_volume_says_that_it_has_no_layers() {
    let scratch = Scratch::new();
    scratch.ok(&[
        "create", "data", "--size", "8M", "--fs", "none", "--format", "raw",
    ]);
    let refused = scratch.json_error(&["snapshot", "create", "data@s"], 7);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("raw"), "{message}");
}

#[test]
fn what_was_changed_since_a_snapshot_is_shown_in_ranges_and_files() {
    for file_system in ["ntfs", "fat32"] {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.path("tree/folder")).unwrap();
        for (name, bytes) in [
            ("tree/same.txt", &b"the same"[..]),
            ("tree/changed.txt", b"one"),
            ("tree/hidden.txt", b"shown"),
            ("tree/folder/gone.txt", b"gone"),
        ] {
            scratch.write(name, bytes);
        }
        let made = [
            "create",
            "data",
            "--size",
            "64M",
            "--fs",
            file_system,
            "--from",
            "tree",
        ];
        scratch.ok(&made);
        scratch.ok(&["snapshot", "create", "data@one"]);
        scratch.write("changed.txt", b"two");
        scratch.write("added.txt", b"added");
        scratch.ok(&["cp", "changed.txt", "data:/changed.txt"]);
        scratch.ok(&["cp", "added.txt", "data:/added.txt"]);
        scratch.ok(&["attrib", "data:/hidden.txt", "+h"]);
        scratch.ok(&["rm", "-r", "data:/folder"]);
        scratch.ok(&["snapshot", "create", "data@two"]);
        let found = scratch.json(&["diff", "--files", "data@one", "data@two"]);
        let files: Vec<(String, String)> = found["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| {
                let text = |key: &str| file[key].as_str().unwrap().to_owned();
                (text("change"), text("path"))
            })
            .collect();
        let expected = [
            ("added", "/added.txt"),
            ("changed", "/changed.txt"),
            ("removed", "/folder"),
            ("removed", "/folder/gone.txt"),
            ("metadata", "/hidden.txt"),
        ];
        let expected = expected.map(|(change, path)| (change.to_owned(), path.to_owned()));
        assert_eq!(files, expected, "{file_system}");
        // The ranges are those in which the bytes differ, found another way.
        scratch.ok(&["convert", "data@one", "one.raw"]);
        scratch.ok(&["convert", "data@two", "two.raw"]);
        let bytes = |name: &str| std::fs::read(scratch.path(name)).unwrap();
        let (one, two) = (bytes("one.raw"), bytes("two.raw"));
        let mut expected: Vec<(u64, u64)> = Vec::new();
        for (number, (one, two)) in (0..).zip(one.chunks(4096).zip(two.chunks(4096))) {
            if one == two {
                continue;
            }
            match expected.last_mut() {
                Some((start, length)) if *start + *length == number * 4096 => *length += 4096,
                _ => expected.push((number * 4096, 4096)),
            }
        }
        let ranges = |found: &serde_json::Value| -> Vec<(u64, u64)> {
            let ranges = found["ranges"].as_array().unwrap().iter();
            let number = |range: &serde_json::Value, key: &str| range[key].as_u64().unwrap();
            ranges
                .map(|range| (number(range, "offset"), number(range, "length")))
                .collect()
        };
        assert!(!expected.is_empty());
        assert_eq!(ranges(&found), expected, "{file_system}");
        let between_files = scratch.json(&["diff", "one.raw", "two.raw"]);
        assert_eq!(ranges(&between_files), expected, "{file_system}");
        let same = scratch.json(&["snapshot", "diff", "data@two"]);
        assert_eq!(same["changed_bytes"], 0);
        let shown = scratch
            .ok(&["snapshot", "diff", "data@one", "--files"])
            .stdout;
        assert!(shown.contains("/added.txt"), "{shown}");
    }
}

/// What identifiers a volume's image has, and its parent's as it remembers them.
fn identifiers(scratch: &Scratch, name: &str) -> (serde_json::Value, serde_json::Value) {
    let run = scratch.ok(&["--json", "info", "--volume", name]);
    let info: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    (info["ids"].clone(), info["parent"]["linkage"].clone())
}

/// Snapshots and clones once had identifiers by chance where a volume had derived ones.
#[test]
fn with_an_epoch_layers_have_the_same_identifiers_in_every_run() {
    for format in ["vhdx", "vhd"] {
        let seen: Vec<_> = [Some("1700000000"), Some("1700000000"), None]
            .into_iter()
            .map(|epoch| {
                let scratch = Scratch::new();
                let ok = |words: &[&str]| {
                    let mut command = scratch.command(words);
                    if let Some(epoch) = epoch {
                        command.env("SOURCE_DATE_EPOCH", epoch);
                    }
                    let output = crate::started(|| command.output());
                    assert!(output.status.success(), "{words:?}: {output:?}");
                };
                ok(&["create", "data", "--size", "64M", "--format", format]);
                ok(&["snapshot", "create", "data@one"]);
                ok(&["clone", "data@one", "copy"]);
                ok(&["create", "app", "--base", "data"]);
                ["data@one", "data", "copy", "app"].map(|name| identifiers(&scratch, name))
            })
            .collect();
        assert_eq!(seen[0], seen[1], "{format}");
        assert_ne!(seen[0], seen[2], "{format}");
        // All that stand on one are told apart.
        assert_ne!(seen[0][1].0, seen[0][2].0, "{format}");
        assert_ne!(seen[0][2].0, seen[0][3].0, "{format}");
    }
}
