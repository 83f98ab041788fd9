//! Every call of the library failing in turn while volumes go from a machine that runs: the next
//! `cvol detach` finishes the work.

use computecore::{Answer, Guest, MachineModel, MachineState, Trouble};
use serde_json::Value;

use super::stage::{ID, Stage, Windows, said};

/// What any call is made to do: refuse, before its work and after it; the machine or the service goes away
/// before it.
const TROUBLES: [Trouble; 5] = [
    Trouble::Fail(0x8037_0105),
    Trouble::FailAfter(0x8000_FFFF),
    Trouble::Disconnect,
    Trouble::Stop,
    Trouble::Vanish,
];
/// What an operation is made to do besides: never end, end late, tell what is no document.
const OPERATION_TROUBLES: [Trouble; 6] = [
    Trouble::Hang,
    Trouble::HangUndone,
    Trouble::Late(LATE_MS),
    Trouble::Answer(0, Answer::Half),
    Trouble::Answer(0, Answer::Nothing),
    Trouble::Answer(0x8000_FFFF, Answer::Other),
];
/// How long an operation is waited for here, in the place of a minute.
const WAIT_MS: u64 = 300;
/// Longer than one wait, and shorter than a detach that tries again.
const LATE_MS: u64 = 700;

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
    let mut rounds = 0;
    for (call, name) in (1..).zip(&calls) {
        let is_operation = name.starts_with("HcsModify");
        let more = OPERATION_TROUBLES.into_iter().filter(|_| is_operation);
        for trouble in TROUBLES.into_iter().chain(more) {
            rounds += 1;
            let context = format!("{trouble:?} at {name}, call {call}");
            stage.ok(&words);
            let written = format!("round {rounds}");
            stage.sh(&format!("echo {written} > /m/child/written && sync"));
            let was_done = detach_with(&stage, call, trouble, &context);
            if !was_done {
                // What may still be in the machine is nobody else's.
                windows.fails(5, &["rm", "child"]);
                stage.ok(&DETACH);
            }
            stage.bring_back();
            stage.check_bare(&context);
            let told: Value = serde_json::from_str(&windows.ok(&["inspect", "child"])).unwrap();
            assert_eq!(told[0]["claims"], Value::Array(Vec::new()), "{context}");
            let read = windows.ok(&["cat", "child:/written"]);
            assert_eq!(read, format!("{written}\n"), "{context}");
        }
    }
    println!("{rounds} detachments had trouble, and left nothing in the end");
    windows.ok(&["check", "--volume", "child"]);
    windows.ok(&["fsck", "child"]);
    windows.ok(&["rm", "child"]);
    windows.ok(&["rm", "base"]);
}

const DETACH: [&str; 4] = ["detach", "--vm", "web", "--all"];

/// Detaches, with something going wrong at a call; whether it was done all the same.
fn detach_with(stage: &Stage, call: usize, trouble: Trouble, context: &str) -> bool {
    let mut command = stage.command(&DETACH);
    let troubles = std::collections::BTreeMap::from([(call, trouble)]);
    command.env(
        "HCS_DOUBLE_TROUBLE",
        serde_json::to_string(&troubles).unwrap(),
    );
    command.env("HCS_DOUBLE_WAIT_MS", WAIT_MS.to_string());
    let output = Windows::run(&mut command);
    println!("{context}: {}", said(&output));
    let windows = stage.windows();
    assert_eq!(windows.log("broken:"), [""; 0], "{context}");
    // What hangs is open until the process ends, which ends with it.
    if !matches!(trouble, Trouble::Hang | Trouble::HangUndone) {
        assert_eq!(windows.log("open:"), [""; 0], "{context}");
    }
    // Said by its exit code, and as `cvol ps` has it.
    let told: Value = serde_json::from_str(&windows.ok(&["--json", "ps"])).unwrap();
    let is_left = told != Value::Array(Vec::new());
    let expected = if is_left { Some(8) } else { Some(0) };
    assert_eq!(output.status.code(), expected, "{context}: {told}");
    !is_left
}

impl Stage {
    /// A machine that stopped or is no more is there again, without anything that it had.
    fn bring_back(&self) {
        let mut host = self.windows().host();
        let machine = host.machines.get(ID);
        if machine.is_some_and(|machine| machine.state == MachineState::Running) {
            return;
        }
        let machine = MachineModel::running(Guest::Linux);
        host.machines.insert(ID.to_owned(), machine);
        self.windows().set_host(&host);
    }
}
