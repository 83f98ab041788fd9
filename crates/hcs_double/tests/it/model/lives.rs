//! The lives of systems and operations: states, ends, who is told, and what was closed too early.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use attach::hcs::{ComputeCore, HResult, OperationHandle, WaitTime};
use computecore::{
    Control, Double, EventKind, Guest, HostModel, OperationKind, Report, Setting, Trouble,
};
use serde_json::json;

use super::{ID, Open, host, run};

const STATE: u32 = 0x8037_0105;
const STOPPED: u32 = 0x8037_0110;
const TIMEOUT: u32 = 0x8037_0118;
const DISCONNECT: u32 = 0x8037_011E;
const QUERY: &str = "{}";
const PATIENCE: Duration = Duration::from_secs(30);

fn control(double: &Double, request: &Control) -> Report {
    let request = serde_json::to_string(request).unwrap();
    serde_json::from_str(&double.control(&request).unwrap()).unwrap()
}

fn open() -> Open {
    Open::new(host(Guest::Windows, &[]))
}

fn document(ends_with_handle: bool) -> String {
    json!({
        "Owner": "a test", "SchemaVersion": {"Major": 2, "Minor": 1},
        "ShouldTerminateOnLastHandleClosed": ends_with_handle,
        "VirtualMachine": {"Chipset": {"Uefi": {}}, "Devices": {"Scsi": {"one": {}}}},
    })
    .to_string()
}

#[test]
fn a_system_is_made_started_paused_saved_and_ended_in_that_order_alone() {
    use OperationKind::{Pause, Resume, Save, Shutdown, Start, Terminate};
    let double = Double::new(HostModel::default());
    let mut system = None;
    let told = run(&double, |operation| {
        system = double
            .create_compute_system("one", &document(false), operation)
            .ok();
        HResult::OK
    });
    assert_eq!(told.0, HResult::OK);
    let open = Open {
        double,
        system: system.unwrap(),
    };
    let file = r#"{"SaveType":"ToFile","SaveStateFilePath":"C:\\s.vmrs"}"#;
    for (kind, options, code) in [
        (Pause, "", STATE),
        (Resume, "", STATE),
        (Shutdown, "", STATE),
        (Start, "{", 0x8037_010D),
        (Start, "", 0),
        (Start, "", STATE),
        (Save, file, STATE),
        (Pause, "{}", 0),
        (Pause, "", STATE),
        (Save, "", 0x8037_010D),
        (Save, r#"{"SaveType":"ToFile"}"#, 0x8037_010D),
        (Save, file, 0),
        (Resume, "", 0),
        (Shutdown, "", 0),
        (Shutdown, "", STOPPED),
        (Terminate, "", STOPPED),
        (Start, "", STOPPED),
    ] {
        assert_eq!(open.change(kind, options), code, "{kind:?} {options}");
    }
    // It can be looked at until the last handle is closed, and is gone then.
    let second = open.double.open_compute_system("one").unwrap();
    open.double.close_compute_system(open.system);
    let told = run(&open.double, |operation| {
        open.double
            .get_compute_system_properties(second, operation, QUERY)
    });
    assert!(told.1.unwrap().contains("\"Stopped\":true"));
    open.double.close_compute_system(second);
    assert_eq!(
        open.double.open_compute_system("one").unwrap_err().0,
        0x8037_010E
    );
    assert_eq!(control(&open.double, &Control::Report).misuse, [""; 0]);
}

#[test]
fn a_system_that_was_to_end_with_its_handle_does() {
    let double = Double::new(HostModel::default());
    for (ends, left) in [(true, 0), (false, 1)] {
        let operation = double.create_operation().unwrap();
        let system = double
            .create_compute_system("one", &document(ends), operation)
            .unwrap();
        double.close_operation(operation);
        let again = run(&double, |operation| {
            let told = double.create_compute_system("one", &document(ends), operation);
            double.close_compute_system(told.unwrap());
            HResult::OK
        });
        assert_eq!(again.0.0, 0x8037_010F);
        double.close_compute_system(system);
        assert_eq!(control(&double, &Control::Report).host.machines.len(), left);
    }
    // The text of a list finds it, and only what lists may ask for is asked.
    for (query, code, found) in [
        (r#"{"Owners":["a test"]}"#, 0, true),
        (r#"{"Owners":["nobody"]}"#, 0, false),
        (r#"{"Ids":["one"],"Types":["VirtualMachine"]}"#, 0, true),
        (r#"{"Types":["Container"]}"#, 0, false),
        ("", 0, true),
        (r#"{"Owner":"a test"}"#, 0x8037_010D, false),
        (r#"{"Owners":"a test"}"#, 0x8037_010D, false),
    ] {
        let told = run(&double, |operation| {
            double.enumerate_compute_systems(operation, query)
        });
        assert_eq!(told.0.0, code, "{query}");
        let is_found = told.1.is_some_and(|told| told.contains("\"one\""));
        assert_eq!(is_found, found, "{query}");
    }
}

#[test]
fn a_document_of_a_newer_version_or_of_a_container_is_refused() {
    let double = Double::new(HostModel::default());
    let made = |text: &str| {
        run(&double, |operation| {
            let told = double
                .create_compute_system("one", text, operation)
                .unwrap();
            double.close_compute_system(told);
            HResult::OK
        })
    };
    let newer = document(true).replace("\"Minor\":1", "\"Minor\":8");
    assert_eq!(made(&newer).0.0, 0x8037_010C);
    assert_eq!(made("[").0.0, 0x8037_010D);
    let unknown = document(true).replace("\"Uefi\":{}", "\"Uefi\":{}},\"Chips\":{");
    assert_eq!(made(&unknown).0.0, 0x8037_010D);
    let container = r#"{"Owner":"a","SchemaVersion":{"Major":2,"Minor":1},"Container":{}}"#;
    assert_eq!(made(container).0.0, 0x8007_0032);
}

#[test]
fn figures_move_and_queries_ask_for_what_there_is() {
    let open = open();
    let ask = |query: &str| {
        open.run(|operation| {
            open.double
                .get_compute_system_properties(open.system, operation, query)
        })
    };
    let reads = || {
        let told = ask(r#"{"PropertyTypes":["Statistics"]}"#).1.unwrap();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["Statistics"]["Storage"]["ReadCountNormalized"]
            .as_u64()
            .unwrap()
    };
    let (first, second) = (reads(), reads());
    assert!(first < second, "{first} {second}");
    for query in [
        r#"{"PropertyTypes":["Storage"]}"#,
        r#"{"Types":[]}"#,
        "[]",
        "{",
    ] {
        assert_eq!(ask(query).0.0, 0x8037_010D, "{query}");
    }
    assert_eq!(
        open.double
            .get_service_properties(r#"{"PropertyTypes":["Memory"]}"#)
            .0
            .0,
        0x8007_0490
    );
    assert_eq!(
        open.double
            .get_service_properties(r#"{"PropertyTypes":["X"]}"#)
            .0
            .0,
        0x8037_010D
    );
}

#[test]
fn an_operation_ends_late_and_is_told_of_in_another_thread() {
    let open = open();
    let (sender, told) = channel();
    let operation = open.double.create_operation().unwrap();
    open.double.set_operation_context(operation, 7);
    open.double.set_operation_callback(
        operation,
        Some(std::sync::Arc::new(move |handle: OperationHandle| {
            sender.send((handle, thread::current().id())).unwrap();
        })),
    );
    let before = open.double.operation_facts(operation).unwrap();
    assert_eq!(
        (before.kind, before.id, before.system),
        (OperationKind::None, None, None)
    );
    assert_eq!(open.double.operation_result(operation).0.0, 0x8037_0115);
    control(&open.double, &Control::Trouble(1, Trouble::Late(150)));
    let begun = open
        .double
        .get_compute_system_properties(open.system, operation, QUERY);
    assert_eq!(begun, HResult::OK);
    assert_eq!(open.double.operation_result(operation).0.0, 0x8037_0117);
    let soon = WaitTime::For(Duration::from_millis(1));
    assert_eq!(
        open.double.wait_for_operation_result(operation, soon).0.0,
        TIMEOUT
    );
    assert_eq!(
        open.double.set_operation_callback(operation, None).0,
        0x8037_0116
    );
    let (handle, by) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(handle, operation);
    assert_ne!(by, thread::current().id());
    assert_eq!(
        open.double.wait_for_operation_result(operation, soon).0,
        HResult::OK
    );
    let after = open.double.operation_facts(operation).unwrap();
    assert_eq!(
        (after.context, after.kind),
        (7, OperationKind::GetProperties)
    );
    assert_eq!((after.id, after.system), (Some(0), Some(open.system)));
    open.double.close_operation(operation);
    // A result that was asked for too early is the one rule that was broken.
    assert_eq!(control(&open.double, &Control::Report).misuse.len(), 1);
}

#[test]
fn an_operation_that_was_let_go_is_told_of_once() {
    let open = open();
    let (sender, told) = channel();
    let tell =
        move |event: &computecore::Event| sender.send((event.kind, event.operation)).unwrap();
    let set = open
        .double
        .set_system_callback(open.system, true, Some(std::sync::Arc::new(tell)));
    assert_eq!(set, HResult::OK);
    control(&open.double, &Control::Trouble(1, Trouble::Hang));
    let operation = open.double.create_operation().unwrap();
    open.double
        .get_compute_system_properties(open.system, operation, QUERY);
    assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
    control(&open.double, &Control::LetGo);
    control(&open.double, &Control::LetGo);
    let event = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(event, (EventKind::OperationCallback, Some(operation)));
    assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
    open.double.close_operation(operation);
    // Both ways to be told at once are one too many.
    let operation = open.double.create_operation().unwrap();
    open.double
        .set_operation_callback(operation, Some(std::sync::Arc::new(|_| {})));
    let begun = open
        .double
        .get_compute_system_properties(open.system, operation, QUERY);
    assert_eq!(begun.0, 0x8037_0119);
    open.double.close_operation(operation);
}

#[test]
fn whoever_listens_and_whoever_waits_hears_of_the_end_of_a_system() {
    let open = open();
    let (sender, told) = channel();
    let tell = move |event: &computecore::Event| sender.send(event.clone()).unwrap();
    open.double
        .set_system_callback(open.system, false, Some(std::sync::Arc::new(tell)));
    let soon = WaitTime::For(Duration::from_millis(1));
    assert_eq!(open.double.wait_for_exit(open.system, soon).0.0, TIMEOUT);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| open.double.wait_for_exit(open.system, WaitTime::Forever));
        assert_eq!(open.change(OperationKind::Terminate, ""), 0);
        let (code, document) = waiting.join().unwrap();
        assert_eq!(code, HResult::OK);
        assert!(document.unwrap().contains("ExitType"));
    });
    let event = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(event.kind, EventKind::SystemExited);
    assert!(event.data.unwrap().contains("Status"));
}

#[test]
fn a_service_that_goes_away_ends_what_is_open_and_is_there_again() {
    let open = open();
    let (sender, told) = channel();
    let tell = move |event: &computecore::Event| sender.send(event.kind).unwrap();
    open.double
        .set_system_callback(open.system, false, Some(std::sync::Arc::new(tell)));
    control(&open.double, &Control::Trouble(1, Trouble::Hang));
    let operation = open.double.create_operation().unwrap();
    open.double
        .get_compute_system_properties(open.system, operation, QUERY);
    control(&open.double, &Control::Disconnect);
    assert_eq!(
        told.recv_timeout(PATIENCE).unwrap(),
        EventKind::ServiceDisconnect
    );
    let (code, _) = open
        .double
        .wait_for_operation_result(operation, WaitTime::Forever);
    assert_eq!(code.0, DISCONNECT);
    open.double.close_operation(operation);
    assert_eq!(open.change(OperationKind::Pause, ""), DISCONNECT);
    open.double.close_compute_system(open.system);
    let again = Open::on(open.double);
    assert_eq!(again.change(OperationKind::Pause, ""), 0);
    // And in the middle of a call.
    control(&again.double, &Control::Trouble(1, Trouble::Disconnect));
    assert_eq!(again.change(OperationKind::Resume, ""), DISCONNECT);
    control(&again.double, &Control::Trouble(1, Trouble::Disconnect));
    assert_eq!(
        again.double.open_compute_system(ID).unwrap_err().0,
        DISCONNECT
    );
    again.double.close_compute_system(again.system);
    assert_eq!(control(&again.double, &Control::Report).misuse, [""; 0]);
}

#[test]
fn a_handle_of_one_kind_is_none_of_another_and_what_is_closed_too_early_is_noticed() {
    let open = open();
    let Open { double, system } = &open;
    let operation = double.create_operation().unwrap();
    let as_operation = OperationHandle(system.0);
    let as_system = attach::hcs::SystemHandle(operation.0);
    assert_eq!(
        double
            .get_compute_system_properties(*system, as_operation, QUERY)
            .0,
        0x8007_0006
    );
    assert_eq!(
        double
            .get_compute_system_properties(as_system, operation, QUERY)
            .0,
        0x8007_0006
    );
    control(double, &Control::Trouble(1, Trouble::Hang));
    double.get_compute_system_properties(*system, operation, QUERY);
    double.close_compute_system(*system);
    double.close_operation(operation);
    double.close_operation(operation);
    let misuse = control(double, &Control::Report).misuse;
    let words = [
        "is a system",
        "is an operation",
        "under an operation",
        "before it ended",
        "closed before",
    ];
    assert_eq!(misuse.len(), words.len(), "{misuse:?}");
    for (told, word) in misuse.iter().zip(words) {
        assert!(told.contains(word), "{told}: {word}");
    }
}

#[test]
fn many_threads_attach_and_detach_at_once_and_each_finds_its_own() {
    let files: Vec<String> = (0..8).map(|number| format!("C:\\{number}.vhdx")).collect();
    let files: Vec<_> = files
        .iter()
        .map(|name| (name.as_str(), Default::default()))
        .collect();
    let double = Double::with(Setting {
        host: host(Guest::Windows, &files),
        delay: Duration::from_millis(1),
        ..Setting::default()
    });
    let begun = Instant::now();
    thread::scope(|scope| {
        for (number, (path, _)) in files.iter().enumerate() {
            let double = &double;
            scope.spawn(move || {
                let lun = number.to_string();
                for _ in 0..10 {
                    let system = double.open_compute_system(ID).unwrap();
                    assert!(double.grant_vm_access(ID, path).is_success());
                    for verb in ["Add", "Remove"] {
                        let request = super::at(&lun, verb, &super::disk(path, false)).to_string();
                        let told = run(double, |operation| {
                            double.modify_compute_system(system, operation, &request)
                        });
                        assert_eq!(told.0, HResult::OK, "{:?}", told.1);
                    }
                    assert!(double.revoke_vm_access(ID, path).is_success());
                    double.close_compute_system(system);
                }
            });
        }
    });
    println!("8 threads took {:?}", begun.elapsed());
    let report = control(&double, &Control::Report);
    assert_eq!(
        (report.open, report.misuse.len(), report.host.access.len()),
        (0, 0, 0)
    );
    assert_eq!(
        (report.calls, report.journal.len()),
        (8 * 10 * 5, 8 * 10 * 5)
    );
}
