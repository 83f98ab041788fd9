//! What the store did on its own is told, whatever the form of the output.

use crate::Scratch;

/// A store with one volume, whose database is no database any more.
fn spoilt() -> Scratch {
    let scratch = Scratch::new();
    scratch.make_volume("data");
    std::fs::write(scratch.path("store/state.db"), b"garbage ".repeat(1000)).unwrap();
    scratch
}

#[test]
fn a_database_that_was_built_anew_is_told_of_once() {
    // The store said so, and no front end passed it on.
    for quiet in [&["ls"][..], &["ls", "-q"]] {
        let scratch = spoilt();
        let run = scratch.ok(quiet);
        assert!(run.stdout.contains("data"), "{}", run.stdout);
        assert!(
            run.stderr
                .contains("was damaged and is kept as state.db.set-aside-")
        );
        assert!(run.stderr.contains("1 volume"), "{}", run.stderr);
        assert_eq!(scratch.ok(quiet).stderr, "");
    }
    let scratch = spoilt();
    std::fs::remove_file(scratch.path("store/state.db")).unwrap();
    assert!(scratch.ok(&["ls"]).stderr.contains("was missing"));
}

#[test]
fn as_json_the_notice_is_a_document() {
    let scratch = spoilt();
    let run = scratch.ok(&["ls", "--json"]);
    let notice: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(notice["notice"]["kind"], "rebuilt");
    assert_eq!(notice["notice"]["restored"], serde_json::json!(["data"]));
    assert_eq!(notice["notice"]["left_alone"], serde_json::json!([]));
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_the_database_is_refused_with_advice() {
    let scratch = spoilt();
    let database = scratch.path("store/state.db");
    std::fs::rename(&database, scratch.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(scratch.path("elsewhere"), &database).unwrap();
    let error = scratch.json_error(&["ls"], 6);
    let hint = error["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("move `state.db` out"), "{hint}");
    assert!(database.is_symlink());
}
