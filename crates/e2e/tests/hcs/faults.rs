//! Every call of the service failing in turn, while mounts come and while they go.

use computecore::{Answer, Control, Guest, Trouble};
use engine::DetachWhat;

use crate::stage::{NAME, Stage};

const TROUBLES: [Trouble; 13] = [
    Trouble::Fail(0x8037_010B),
    Trouble::Fail(0x8007_0020),
    Trouble::FailAfter(0x8000_FFFF),
    Trouble::FailAfter(0x8037_0118),
    Trouble::Hang,
    Trouble::HangUndone,
    // Ends before it is tried again, and after everybody gave it up.
    Trouble::Late(100),
    Trouble::Late(VERY_LATE_MS),
    Trouble::Stop,
    Trouble::Vanish,
    Trouble::Disconnect,
    Trouble::Answer(0, Answer::Half),
    Trouble::Answer(0x8000_FFFF, Answer::Other),
];

/// Longer than all that is tried after an operation was given up.
const VERY_LATE_MS: u64 = 900;

/// One trouble at each call in turn, for each guest: what is waited for is waited for side by side.
fn with_each_trouble(check: fn(&Stage, &[String], Trouble)) {
    std::thread::scope(|scope| {
        for system in [Guest::Linux, Guest::Windows] {
            for trouble in TROUBLES {
                scope.spawn(move || {
                    let stage = Stage::new(system);
                    let mounts = stage.mounts();
                    check(&stage, &mounts, trouble);
                });
            }
        }
    });
}

/// What went wrong is over: no operation hangs or is yet to come, and the machine runs, without anything
/// that it lost.
fn calm(stage: &Stage) {
    stage.control(&Control::LetGo);
    stage.wait_for_ends();
    if !stage.is_running() {
        stage.restart();
    }
}

#[test]
fn a_call_that_fails_while_mounts_come_leaves_nothing_behind() {
    with_each_trouble(|stage, mounts, trouble| {
        let before = stage.report().calls;
        stage.attach(mounts).unwrap();
        let calls = stage.report().calls - before;
        assert!(calls >= 10, "{calls}");
        stage.detach(&DetachWhat::All).unwrap();
        for call in 1..=calls {
            let context = format!("{:?} {trouble:?} at {call} of {calls}", stage.system);
            stage.trouble(call, trouble);
            let attached = stage.attach(mounts);
            calm(stage);
            // Looked at as often as one likes.
            stage.engine.attachments(None).unwrap();
            let detached = stage.detach(&DetachWhat::All);
            let detached = detached.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            assert!(detached.left.is_empty(), "{context}: {detached:?}");
            if attached.is_ok() {
                assert_eq!(detached.gone.len(), mounts.len(), "{context}");
            }
            stage.check_bare(&context);
        }
    });
}

#[test]
fn a_call_that_fails_while_mounts_go_is_made_up_for_by_the_next_command() {
    with_each_trouble(|stage, mounts, trouble| {
        stage.attach(mounts).unwrap();
        let before = stage.report().calls;
        stage.detach(&DetachWhat::All).unwrap();
        let calls = stage.report().calls - before;
        assert!(calls >= 10, "{calls}");
        for call in 1..=calls {
            let context = format!("{:?} {trouble:?} at {call} of {calls}", stage.system);
            stage.attach(mounts).unwrap();
            stage.trouble(call, trouble);
            let first = stage.detach(&DetachWhat::All);
            let first = first.unwrap_or_else(|error| panic!("{context}: {error:?}"));
            calm(stage);
            let listed = stage.engine.attachments(None).unwrap();
            let listed: usize = listed.iter().map(|it| it.mounts.len()).sum();
            assert_eq!(listed, first.left.len(), "{context}: {first:?}");
            let second = stage.detach(&DetachWhat::All).unwrap();
            assert!(second.left.is_empty(), "{context}: {second:?}");
            stage.check_bare(&context);
        }
    });
}

#[test]
fn what_ends_after_its_machine_was_given_up_leaves_nothing_behind() {
    std::thread::scope(|scope| {
        for system in [Guest::Linux, Guest::Windows] {
            for after in 1..=8 {
                scope.spawn(move || late_and_refused(system, after));
            }
        }
    });
}

/// A call ends late, and one so many calls after it is refused: all is undone before the late one ends.
fn late_and_refused(system: Guest, after: u64) {
    let stage = Stage::new(system);
    let mounts = stage.mounts();
    let before = stage.report().calls;
    stage.attach(&mounts).unwrap();
    let calls = stage.report().calls - before;
    stage.detach(&DetachWhat::All).unwrap();
    for call in 1..=calls {
        let context = format!("{system:?} late at {call} of {calls}, refused {after} later");
        stage.trouble(call, Trouble::Late(VERY_LATE_MS));
        stage.trouble(call + after, Trouble::Fail(0x8000_FFFF));
        let attached = stage.attach(&mounts);
        stage.forget_troubles();
        calm(&stage);
        let listed = stage.engine.attachments(Some(NAME)).unwrap();
        if attached.is_err() && listed.is_empty() {
            // Nobody has anything to detach, so there must be nothing.
            stage.check_bare(&context);
        }
        let detached = stage.detach(&DetachWhat::All).unwrap();
        assert!(detached.left.is_empty(), "{context}: {detached:?}");
        stage.check_bare(&context);
    }
}
