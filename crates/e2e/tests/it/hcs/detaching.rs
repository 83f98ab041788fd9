//! Every call of the library failing in turn while volumes go from a machine that runs: the next
//! `cvol detach` finishes the work.

use computecore::Trouble;
use serde_json::Value;

use super::stage::Stage;
use super::troubles;

const DETACH: [&str; 4] = ["detach", "--vm", "web", "--all"];

#[test]
fn every_call_failing_while_volumes_go_is_made_up_for_by_the_next_detach() {
    let Some(stage) = Stage::new() else { return };
    let windows = stage.windows();
    windows.ok(&["create", "base", "--size", "32M"]);
    windows.ok(&["clone", "base", "child"]);
    let (image, serial) = windows.image("child");
    stage.broker.name(&image, &serial);
    let words = stage.attach_words(&["source=child,target=/m/child"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.ok(&words);
    stage.ok(&DETACH);
    // The system is opened, the disk removed, and the access to two files taken back.
    let calls = windows.log("call:");
    assert!(calls.len() >= 4, "{calls:?}");
    let all = troubles::all(&calls);
    for (round, (call, trouble, context)) in all.iter().enumerate() {
        stage.ok(&words);
        let written = format!("round {round}");
        stage.sh(&format!("echo {written} > /m/child/written && sync"));
        if !is_detached_with(&stage, *call, *trouble, context) {
            // What may still be in the machine is nobody else's.
            windows.fails(5, &["rm", "child"]);
            stage.ok(&DETACH);
        }
        stage.bring_back();
        stage.check_bare(context);
        let told: Value = serde_json::from_str(&windows.ok(&["inspect", "child"])).unwrap();
        assert_eq!(told[0]["claims"], Value::Array(Vec::new()), "{context}");
        let read = windows.ok(&["cat", "child:/written"]);
        assert_eq!(read, format!("{written}\n"), "{context}");
    }
    println!(
        "{} detachments had trouble, and left nothing in the end",
        all.len()
    );
    windows.ok(&["check", "--volume", "child"]);
    windows.ok(&["fsck", "child"]);
    windows.ok(&["rm", "child"]);
    windows.ok(&["rm", "base"]);
}

/// Detaches, with something going wrong at a call; whether it was done all the same, which its exit code and
/// `cvol ps` tell alike.
fn is_detached_with(stage: &Stage, call: usize, trouble: Trouble, context: &str) -> bool {
    let output = stage.run_with(&DETACH, call, trouble, context);
    let told: Value = serde_json::from_str(&stage.windows().ok(&["--json", "ps"])).unwrap();
    let is_left = told != Value::Array(Vec::new());
    let expected = if is_left { Some(8) } else { Some(0) };
    assert_eq!(output.status.code(), expected, "{context}: {told}");
    !is_left
}
