//! Calls and what they come to.

use std::time::Duration;

use attach::hcs::{
    HcsSystem, OperationHandle, SystemHandle, SystemState, WaitTime, list_systems, newest_schema,
};
use attach::{FaultKind, SchemaVersion};
use computecore::{Answer, Control, Guest, MachineState, Trouble};

use crate::stage::{ID, Stage};

const PATIENCE: Duration = Duration::from_secs(30);
/// A request that goes to the guest alone.
const ASK_GUEST: &str = r#"{"GuestRequest":{"ResourceType":"SCSIDevice","RequestType":"Remove",
    "Settings":{"Controller":0,"Lun":1}}}"#;

#[test]
fn systems_are_listed_and_opened_by_their_identifiers() {
    let stage = Stage::new(Guest::Linux);
    let systems = list_systems(&stage.core, PATIENCE).unwrap();
    assert_eq!(systems.len(), 1);
    assert_eq!(
        (systems[0].id.as_str(), systems[0].owner.as_str()),
        (ID, "somebody")
    );
    assert_eq!(
        (systems[0].kind.as_str(), &systems[0].state),
        ("VirtualMachine", &SystemState::Running)
    );
    let system = HcsSystem::open(&stage.core, ID).unwrap();
    assert_eq!(system.id(), ID);
    assert_eq!(system.state(PATIENCE).unwrap(), SystemState::Running);
    for id in ["", "other", "a\0b"] {
        let fault = HcsSystem::open(&stage.core, id).err().unwrap();
        let kinds = [FaultKind::Gone, FaultKind::Invalid];
        assert!(kinds.contains(&fault.kind()), "{fault}");
    }
    drop(system);
    stage.check_clean();
}

#[test]
fn the_newest_schema_is_the_newest_that_both_know() {
    let stage = Stage::new(Guest::Linux);
    for (there, expected) in [(1, 1), (7, 7), (9, 9), (30, 9)] {
        let mut host = stage.report().host;
        host.newest_minor = there;
        stage.control(&Control::SetHost(host));
        let version = newest_schema(&*stage.core).unwrap();
        let minor = expected;
        assert_eq!(version, SchemaVersion { major: 2, minor });
    }
}

#[test]
fn statistics_of_storage_are_told_with_zeros_where_they_are_left_out() {
    let stage = Stage::new(Guest::Windows);
    let system = HcsSystem::open(&stage.core, ID).unwrap();
    let told = system.storage_statistics(PATIENCE).unwrap();
    assert_eq!((told.reads, told.read_bytes, told.writes), (1, 8192, 0));
}

#[test]
fn a_refused_document_is_told_with_its_field() {
    let stage = Stage::new(Guest::Linux);
    let system = HcsSystem::open(&stage.core, ID).unwrap();
    let request = r#"{"ResourcePath":"VirtualMachine/Devices/Plan9/Shares","RequestType":"Add",
        "Settings":{"Name":"0","AccessName":"0","Path":"C:\\srv\\ro","Port":564,"ReadOnly":true}}"#;
    let fault = system.modify("share", request, PATIENCE).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Invalid);
    assert!(fault.to_string().contains("ReadOnly"), "{fault}");
    let fault = system.modify("share", "{", PATIENCE).unwrap_err();
    assert!(fault.to_string().contains("HCS_E_INVALID_JSON"), "{fault}");
    drop(system);
    stage.check_clean();
}

#[test]
fn every_call_that_fails_is_a_fault_of_its_kind_and_leaves_nothing_open() {
    for (code, kind) in [
        (0x8037_010E, FaultKind::Gone),
        (0xC037_0110, FaultKind::Gone),
        (0x8037_011B, FaultKind::Denied),
        (0x8007_0020, FaultKind::Busy),
        (0x8037_0118, FaultKind::Unanswered),
        (0x8037_011E, FaultKind::Unanswered),
        (0x8037_0105, FaultKind::Failed),
        (0x8000_FFFF, FaultKind::Failed),
    ] {
        for call in 1..=3 {
            let stage = Stage::new(Guest::Linux);
            stage.trouble(call, Trouble::Fail(code));
            let told = HcsSystem::open(&stage.core, ID).and_then(|system| {
                system.modify("ask the guest", ASK_GUEST, PATIENCE)?;
                system.state(PATIENCE)
            });
            assert_eq!(told.unwrap_err().kind(), kind, "{code:#x} at {call}");
            stage.check_clean();
        }
        let stage = Stage::new(Guest::Linux);
        stage.trouble(1, Trouble::Fail(code));
        assert_eq!(
            list_systems(&stage.core, PATIENCE).unwrap_err().kind(),
            kind
        );
        stage.trouble(1, Trouble::Fail(code));
        assert_eq!(newest_schema(&*stage.core).unwrap_err().kind(), kind);
        stage.check_clean();
    }
}

#[test]
fn what_is_no_document_is_told_as_nonsense_and_takes_no_change_back() {
    let stage = Stage::new(Guest::Linux);
    let system = HcsSystem::open(&stage.core, ID).unwrap();
    for answer in [
        Answer::Nothing,
        Answer::Empty,
        Answer::Half,
        Answer::Other,
        Answer::Huge,
    ] {
        let told = || stage.trouble(1, Trouble::Answer(0, answer));
        told();
        let listed = list_systems(&stage.core, PATIENCE);
        told();
        let state = system.state(PATIENCE);
        told();
        let schema = newest_schema(&*stage.core);
        let kinds = [
            listed.map(drop).unwrap_err().kind(),
            state.unwrap_err().kind(),
            schema.unwrap_err().kind(),
        ];
        assert_eq!(kinds, [FaultKind::Nonsense; 3], "{answer:?}");
        // A change that was made is made, whatever is told beside.
        told();
        system.modify("ask the guest", ASK_GUEST, PATIENCE).unwrap();
        // One that was refused is refused with its code.
        stage.trouble(1, Trouble::Answer(0x8037_011B, answer));
        let fault = system.modify("ask the guest", ASK_GUEST, PATIENCE);
        let fault = fault.unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Denied, "{answer:?}");
        assert!(fault.to_string().len() < 1000, "{answer:?}");
    }
    drop(system);
    stage.check_clean();
}

#[test]
fn a_machine_that_is_no_more_between_two_calls_is_gone() {
    for call in 1..=3 {
        for trouble in [Trouble::Vanish, Trouble::Stop] {
            let stage = Stage::new(Guest::Linux);
            stage.trouble(call, trouble);
            let told = HcsSystem::open(&stage.core, ID).and_then(|system| {
                system.modify("ask the guest", ASK_GUEST, PATIENCE)?;
                system.state(PATIENCE)
            });
            match told {
                Err(fault) => assert_eq!(fault.kind(), FaultKind::Gone, "{trouble:?} at {call}"),
                Ok(state) => {
                    let expected = (SystemState::Stopped, Trouble::Stop);
                    assert_eq!((state, trouble), expected, "at {call}");
                }
            }
            stage.check_clean();
        }
    }
}

#[test]
fn an_operation_that_does_not_end_is_kept_open_with_its_system_until_it_does() {
    let stage = Stage::new(Guest::Linux);
    for trouble in [Trouble::Hang, Trouble::HangUndone] {
        stage.trouble(2, trouble);
        let system = HcsSystem::open(&stage.core, ID).unwrap();
        let told = system.modify("wait", ASK_GUEST, Duration::from_millis(5));
        assert_eq!(told.unwrap_err().kind(), FaultKind::Unanswered);
        drop(system);
        let report = stage.report();
        assert_eq!((report.open, report.misuse), (2, Vec::new()));
        stage.control(&Control::LetGo);
        stage.check_clean();
    }
}

#[test]
fn a_machine_that_is_in_no_state_for_something_is_looked_at() {
    let stage = Stage::new(Guest::Linux);
    let system = HcsSystem::open(&stage.core, ID).unwrap();
    let ask = |system: &HcsSystem| {
        let told = system.modify("ask the guest", ASK_GUEST, PATIENCE);
        told.unwrap_err()
    };
    stage.change(|machine| machine.state = MachineState::Paused);
    let fault = ask(&system);
    assert_eq!(fault.kind(), FaultKind::Failed);
    assert!(fault.to_string().contains("has to be running"), "{fault}");
    // The service says so of one that stopped, too.
    stage.change(computecore::MachineModel::stop);
    stage.trouble(1, Trouble::Fail(0x8037_0105));
    assert_eq!(ask(&system).kind(), FaultKind::Gone);
    assert_eq!(ask(&system).kind(), FaultKind::Gone);
    drop(system);
    stage.check_clean();
}

/// The double itself: what a client with a defect would do is found out.
#[test]
fn broken_rules_are_noticed() {
    let stage = Stage::new(Guest::Linux);
    let core = &stage.core;
    let system = core.open_compute_system(ID).unwrap();
    let operation = core.create_operation().unwrap();
    let query = "{}";
    let wait = WaitTime::For(Duration::from_millis(1));
    assert!(
        !core
            .wait_for_operation_result(operation, wait)
            .0
            .is_success()
    );
    assert!(
        core.get_compute_system_properties(system, operation, query)
            .is_success()
    );
    assert!(
        !core
            .get_compute_system_properties(system, operation, query)
            .is_success()
    );
    core.close_operation(operation);
    core.close_operation(operation);
    assert!(
        !core
            .get_compute_system_properties(system, operation, query)
            .is_success()
    );
    core.close_compute_system(system);
    core.close_compute_system(system);
    let other = core.create_operation().unwrap();
    assert!(
        !core
            .modify_compute_system(SystemHandle(1), other, "{}")
            .is_success()
    );
    assert!(
        !core
            .enumerate_compute_systems(OperationHandle(1), "{}")
            .is_success()
    );
    core.close_operation(other);
    assert_eq!(
        stage.report().misuse.len(),
        7,
        "{:?}",
        stage.report().misuse
    );
    assert_eq!(stage.report().open, 0);
}
