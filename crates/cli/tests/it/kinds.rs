//! Volumes that stand for a directory, a share or memory: made, shown, mounted, and refused where an image is
//! needed.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::json;

use crate::{Run, Scratch, names_in, started};

/// Runs with a password on standard input.
fn with_password(scratch: &Scratch, arguments: &[&str], password: &str) -> Run {
    let mut command = scratch.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = started(|| command.spawn());
    let mut input = child.stdin.take().unwrap();
    // Who wants none says why.
    let _ = input.write_all(password.as_bytes());
    drop(input);
    Run::of(child.wait_with_output().unwrap())
}

fn make_share(scratch: &Scratch) {
    let arguments = [
        "create",
        "share",
        "--type",
        "smb",
        "--source",
        "//nas:1445/data/x",
        "--username",
        "CORP\\ann",
        "--no-check",
        "--password-fd",
        "0",
        "--readonly",
    ];
    let run = with_password(scratch, &arguments, "canary-51\n");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout, "share\n");
}

/// A store with one volume of each kind but an image, and the directory that one stands for.
fn one_of_each() -> (Scratch, String) {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("src")).unwrap();
    let source = scratch.path("src").canonicalize().unwrap();
    let source = source
        .to_str()
        .unwrap()
        .trim_start_matches(r"\\?\")
        .to_owned();
    scratch.ok(&["create", "src", "--type", "bind", "--source", &source]);
    scratch.ok(&["create", "-o", "type=tmpfs,size=128M", "scratch"]);
    make_share(&scratch);
    (scratch, source)
}

#[test]
fn every_kind_is_listed_and_inspected_with_what_it_stands_for() {
    let (scratch, source) = one_of_each();
    let listed = scratch.json(&["ls"]);
    let told = |name: &str| {
        let all = listed.as_array().unwrap();
        all.iter().find(|volume| volume["name"] == name).unwrap()
    };
    for (name, kind, from, size, read_only) in [
        ("src", "bind", json!(source), json!(null), false),
        (
            "share",
            "smb",
            json!("//nas:1445/data/x"),
            json!(null),
            true,
        ),
        ("scratch", "tmpfs", json!(null), json!(128 << 20), false),
    ] {
        let volume = told(name);
        assert_eq!(volume["kind"], kind);
        assert_eq!(volume["source"], from, "{volume}");
        assert_eq!(volume["size"], size, "{volume}");
        assert_eq!(volume["read_only"], read_only, "{volume}");
        assert_eq!(volume["format"], json!(null));
        let row = scratch
            .ok(&["ls", "--filter", &format!("kind={kind}")])
            .stdout;
        assert_eq!(row.lines().count(), 2, "{row}");
        assert!(row.contains(kind), "{row}");
    }
    let inspected = scratch.json(&["inspect", "src", "share", "scratch"]);
    assert_eq!(inspected[0]["source_is"], "directory");
    assert_eq!(inspected[1]["username"], "ann");
    assert_eq!(inspected[1]["domain"], "CORP");
    assert_eq!(inspected[1]["password"], "kept");
    assert_eq!(inspected[2]["kind"], "tmpfs");
    assert!(inspected[0].get("image_path").is_none());
    std::fs::remove_dir(scratch.path("src")).unwrap();
    assert_eq!(scratch.json(&["inspect", "src"])[0]["source_is"], "missing");
    assert_eq!(scratch.run(&["doctor"]).code, 0);
    scratch.ok(&["rm", "src", "share", "scratch"]);
    assert_eq!(names_in(&scratch.path("store/volumes")), [""; 0]);
}

#[test]
fn verbs_that_need_an_image_say_that_there_is_none_and_what_to_do() {
    let (scratch, _) = one_of_each();
    let file = scratch.path("file");
    std::fs::write(&file, "x").unwrap();
    let file = file.to_str().unwrap();
    for name in ["src", "share", "scratch"] {
        let path = format!("{name}:/x");
        let snapshot = format!("{name}@one");
        for arguments in [
            &["ls", &path][..],
            &["tree", name],
            &["cat", &path],
            &["cp", &path, "out"],
            &["cp", file, &path],
            &["rm", &path],
            &["mkdir", &path],
            &["attrib", &path, "+r"],
            &["acl", &path],
            &["label", name, "x"],
            &["export", name, "-o", "out.tar"],
            &["check", name],
            &["fsck", name],
            &["info", name],
            &["map", name],
            &["convert", name, "out.raw", "--format", "raw"],
            &["compact", name],
            &["resize", name, "+1G"],
            &["snapshot", "create", &snapshot],
            &["snapshot", "ls", name],
            &["snapshot", "rm", &snapshot],
            &["snapshot", "restore", &snapshot],
            &["clone", name, "other"],
            &["flatten", name],
            &["serve", name, "--port", "0"],
        ] {
            let run = scratch.run(arguments);
            let told = &run.stderr;
            assert_eq!(run.code, 7, "{arguments:?}: {told}");
            assert!(told.contains("has no image"), "{arguments:?}: {told}");
            assert!(told.contains("hint: "), "{arguments:?}: {told}");
        }
    }
    assert!(!scratch.path("out.tar").exists());
}

#[test]
fn named_volumes_of_every_kind_are_planned_as_what_they_stand_for() {
    if cfg!(windows) {
        return;
    }
    let (scratch, source) = one_of_each();
    let plan = |mount: &str| scratch.json(&["attach", "--plan", "--guest", "linux", "-m", mount]);
    let directory = plan("source=src,target=/a");
    assert_eq!(directory["steps"][0]["action"], "add-share");
    assert_eq!(directory["steps"][0]["details"]["path"], json!(source));
    let share = plan("source=share,target=/b");
    assert_eq!(share["steps"][0]["action"], "mount-smb");
    assert_eq!(share["steps"][0]["details"]["source"], r"\\nas:1445\data\x");
    assert_eq!(share["steps"][0]["details"]["user"], "ann");
    // What the volume says holds whatever the mount says.
    assert_eq!(share["steps"][0]["details"]["read_only"], true);
    assert!(!share.to_string().contains("canary"), "{share}");
    let memory = plan("source=scratch,target=/c");
    assert_eq!(memory["steps"][0]["action"], "mount-memory");
    assert_eq!(memory["steps"][0]["details"]["size"], 128 << 20);
    std::fs::remove_dir(scratch.path("src")).unwrap();
    let gone = scratch.run(&[
        "attach",
        "--plan",
        "--guest",
        "linux",
        "-m",
        "source=src,target=/a",
    ]);
    assert_eq!(gone.code, 3, "{}", gone.stderr);
}

#[test]
fn what_cannot_be_a_volume_of_its_kind_is_refused_before_anything_is_made() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("src")).unwrap();
    let smb = "--source=//nas/data";
    for (arguments, code, words) in [
        (&["--type", "bind"][..], 2, "source"),
        (
            &["--type", "bind", "--source", "src"],
            2,
            "not an absolute path",
        ),
        (
            &["--type", "bind", "--source", "//nas/data"],
            2,
            "use kind=smb",
        ),
        (&["--type", "smb", smb], 2, "username"),
        (&["--type", "smb", smb, "-u", "guest"], 2, "guests"),
        (
            &["--type", "smb", "--source", "//nas", "-u", "a"],
            2,
            "no share",
        ),
        (
            &["--type", "smb", smb, "-u", "a", "--size", "1G"],
            2,
            "no such option",
        ),
        (&["--type", "tmpfs", "--size", "0"], 2, "too small"),
        (
            &["--type", "tmpfs", "--size", "1T", "--fs", "ntfs"],
            2,
            "no such option",
        ),
        (&["--type", "tmpfs", "--readonly"], 2, "word of the mount"),
        (&["--source", "/srv"], 2, "no such option"),
        (
            &["-o", "kind=smb,password=x"],
            2,
            "never stands in an option",
        ),
        (&["--type", "nfs"], 2, "none of"),
        (&["--type", "tmpfs", "--from", "src"], 7, "has no image"),
        (
            &["--password-file", "/x", "--password-fd", "0"],
            2,
            "cannot be used",
        ),
    ] {
        let run = scratch.run(&[&["create", "xx"], arguments].concat());
        assert_eq!(run.code, code, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{arguments:?}: {}", run.stderr);
    }
    let no_secret = with_password(&scratch, &["create", "xx", "--password-fd", "0"], "pw");
    assert_eq!(no_secret.code, 7, "{}", no_secret.stderr);
    for password in ["", "\n", "a\nb"] {
        let run = with_password(
            &scratch,
            &[
                "create",
                "xx",
                "--type=smb",
                smb,
                "-u",
                "a",
                "--no-check",
                "--password-fd",
                "0",
            ],
            password,
        );
        assert_eq!(run.code, 2, "{password:?}: {}", run.stderr);
    }
    assert!(scratch.ok(&["ls", "-q"]).stdout.is_empty());
}

#[cfg(unix)]
#[test]
fn paths_of_the_host_are_mounted_only_where_they_may_be() {
    let scratch = Scratch::new();
    for name in ["open", "closed", "store"] {
        std::fs::create_dir(scratch.path(name)).unwrap();
    }
    std::os::unix::fs::symlink(scratch.path("closed"), scratch.path("open/out")).unwrap();
    let run = |source: &str, roots: Option<&str>| {
        let mut command = scratch.command(&["create", "xx", "--type", "bind", "--source", source]);
        if let Some(roots) = roots {
            command.env("CVOL_MOUNT_ROOTS", scratch.path(roots));
        }
        Run::of(command.output().unwrap())
    };
    let path = |name: &str| scratch.path(name).to_str().unwrap().to_owned();
    for (source, roots) in [
        ("/".to_owned(), None),
        ("/proc".to_owned(), None),
        ("/sys/kernel".to_owned(), None),
        ("/dev/null".to_owned(), None),
        (path(""), None),
        (path("store"), None),
        (path("closed"), Some("open")),
        (path("open/out"), Some("open")),
    ] {
        let refused = run(&source, roots);
        assert_eq!(refused.code, 2, "{source}: {}", refused.stderr);
        let mount = format!("type=bind,source={source},target=/x");
        let mut command = scratch.command(&["attach", "--plan", "--guest", "linux", "-m", &mount]);
        if let Some(roots) = roots {
            command.env("CVOL_MOUNT_ROOTS", scratch.path(roots));
        }
        let refused = Run::of(command.output().unwrap());
        assert_eq!(refused.code, 2, "{mount}: {}", refused.stderr);
    }
    assert_eq!(run(&path("missing"), None).code, 3);
    assert_eq!(run(&path("open/out"), None).code, 0);
}

#[test]
fn a_password_that_does_not_open_is_told_and_kept_again() {
    let scratch = Scratch::new();
    make_share(&scratch);
    std::fs::remove_file(scratch.path("store/secret.key")).unwrap();
    let shown = scratch.json(&["inspect", "share"]);
    assert_eq!(shown[0]["password"], "unusable");
    let error = scratch.json_error(&["secret", "check", "share"], 6);
    assert!(
        error["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("secret set"),
        "{error}"
    );
    let doctor = scratch.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, 1);
    assert!(doctor.stdout.contains("\"password\""), "{}", doctor.stdout);
    let set = ["secret", "set", "share", "--no-check", "--password-fd", "0"];
    assert_eq!(with_password(&scratch, &set, "pw").code, 0);
    assert_eq!(scratch.json(&["inspect", "share"])[0]["password"], "kept");
    assert_eq!(
        scratch.json(&["secret", "rotate"])["sealed"],
        json!(["share"])
    );
    scratch.make_volume("disk");
    let none = scratch.run(&["secret", "set", "disk", "--no-check", "--password-fd", "0"]);
    assert_eq!(none.code, 7, "{}", none.stderr);
    assert_eq!(scratch.run(&["secret", "set", "nobody"]).code, 3);
}

/// Wine has no client for SMB servers, and a Windows finds none under this name.
#[cfg(windows)]
#[test]
fn a_login_that_cannot_be_tried_names_the_way_around_and_keeps_nothing() {
    let scratch = Scratch::new();
    let words = [
        "create",
        "nas",
        "--type=smb",
        "--source=//cvol-test.invalid/data",
        "--username=ann",
        "--password-fd=0",
    ];
    let ran = with_password(&scratch, &words, "canary-5e");
    assert!([7, 8].contains(&ran.code), "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains("--no-check"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("canary-5e"), "{}", ran.stderr);
    assert_eq!(scratch.json(&["ls"]), json!([]));
}
