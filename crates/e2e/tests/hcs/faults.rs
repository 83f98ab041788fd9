//! Every call of the service failing in turn, while mounts come and while they go.

use computecore::{Control, Guest, Trouble};
use engine::DetachWhat;

use crate::stage::Stage;

const TROUBLES: [Trouble; 7] = [
    Trouble::Fail(0x8037_010B),
    Trouble::Fail(0x8007_0020),
    Trouble::FailAfter(0x8000_FFFF),
    Trouble::FailAfter(0x8037_0118),
    Trouble::Hang,
    Trouble::HangUndone,
    Trouble::Stop,
];

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

/// What went wrong is over: no operation hangs, and the machine runs, without anything that it lost.
fn calm(stage: &Stage) {
    stage.control(&Control::LetGo);
    if stage.machine().state != computecore::MachineState::Running {
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
