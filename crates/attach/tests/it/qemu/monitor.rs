//! The conversation itself.

use std::time::{Duration, Instant};

use attach::FaultKind;
use attach::qemu::qmp::{Qmp, QmpError, QmpLimits};
use serde_json::json;

use super::fake::{FakeMonitor, GREETING, Reply, limits};

fn short() -> QmpLimits {
    QmpLimits {
        timeout: Duration::from_secs(2),
        ..limits()
    }
}

#[test]
fn a_command_gets_its_answer_and_events_are_kept_aside() {
    let monitor = FakeMonitor::answering(|name, arguments| {
        assert_eq!((name, arguments), ("query-status", &json!({"a": 1})));
        let event = r#"{"event": "RESUME", "data": {"x": 1}, "timestamp": {}}"#;
        Reply::Say(format!(
            "{event}\r\n{{\"return\": {{\"status\": \"running\"}}, \"id\": $ID}}\r\n"
        ))
    });
    let mut qmp = Qmp::connect(&monitor.address, limits()).unwrap();
    assert_eq!(qmp.greeting().version, (7, 2, 22));
    let answer = qmp.execute("query-status", json!({"a": 1})).unwrap();
    assert_eq!(answer, json!({"status": "running"}));
    let event = qmp.next_event().unwrap();
    assert_eq!(
        (event.name.as_str(), &event.data),
        ("RESUME", &json!({"x": 1}))
    );
    assert!(qmp.next_event().is_none());
}

#[test]
fn nobody_there_is_gone() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = attach::qemu::qmp::QmpAddress::Tcp(listener.local_addr().unwrap());
    drop(listener);
    let error = Qmp::connect(&address, limits()).unwrap_err();
    assert_eq!(error.kind(), FaultKind::Gone, "{error}");
}

#[test]
fn a_monitor_that_does_not_greet_is_busy_and_one_that_greets_wrongly_is_nonsense() {
    for (words, leaves, kind) in [
        ("", false, FaultKind::Busy),
        (&GREETING[..20], false, FaultKind::Busy),
        ("", true, FaultKind::Unanswered),
        (&GREETING[..20], true, FaultKind::Unanswered),
        ("SSH-2.0-OpenSSH_9.2\r\n", false, FaultKind::Nonsense),
        (
            "{\"return\": {}, \"id\": 1}\r\n",
            false,
            FaultKind::Nonsense,
        ),
        ("[1, 2]\n", false, FaultKind::Nonsense),
    ] {
        let monitor = FakeMonitor::saying(words, leaves);
        let error = Qmp::connect(&monitor.address, short()).unwrap_err();
        assert_eq!(error.kind(), kind, "{words:?}: {error}");
    }
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_the_next_one() {
    let mut number = 0;
    let monitor = FakeMonitor::answering(move |_, _| {
        number += 1;
        match number {
            1 => Reply::Nothing,
            // Both at once: what the first was waited for in vain, and the second's own.
            _ => Reply::Say(
                "{\"return\": \"late\", \"id\": 2}\r\n{\"return\": \"mine\", \"id\": $ID}\r\n"
                    .to_owned(),
            ),
        }
    });
    let mut qmp = Qmp::connect(&monitor.address, limits()).unwrap();
    let patience = Duration::from_millis(100);
    let error = qmp
        .execute_within(patience, "first", json!({}))
        .unwrap_err();
    assert!(matches!(error, QmpError::Unanswered { .. }), "{error}");
    assert_eq!(error.kind(), FaultKind::Unanswered);
    assert!(!qmp.is_over());
    assert_eq!(qmp.execute("second", json!({})).unwrap(), json!("mine"));
}

#[test]
fn a_dribble_of_bytes_or_a_flood_of_events_does_not_outlast_the_limit() {
    for words in [
        " ".to_owned(),
        r#"{"event": "RTC_CHANGE", "data": {"offset": 1}}"#.to_owned() + "\n",
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = attach::qemu::qmp::QmpAddress::Tcp(listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            use std::io::Write;
            let (mut stream, _) = listener.accept().unwrap();
            let start = format!("{GREETING}\n{{\"return\": {{}}, \"id\": 1}}\n");
            stream.write_all(start.as_bytes()).unwrap();
            while stream.write_all(words.as_bytes()).is_ok() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut qmp = Qmp::connect(&address, limits()).unwrap();
        let started = Instant::now();
        let patience = Duration::from_millis(200);
        let error = qmp.execute_within(patience, "stop", json!({})).unwrap_err();
        assert_eq!(error.kind(), FaultKind::Unanswered, "{error}");
        assert!(qmp.wait_for_event(patience, |_| false).unwrap().is_none());
        // It would not have ended at all.
        assert!(started.elapsed() < Duration::from_secs(60));
        let kept = std::iter::from_fn(|| qmp.next_event()).count();
        assert!(kept <= limits().events, "{kept} events were kept");
        drop(qmp);
        thread.join().unwrap();
    }
}

#[test]
fn a_monitor_that_dies_in_the_middle_of_a_line_ends_the_conversation() {
    for words in ["", "{\"return\": {\"stat"] {
        let monitor = FakeMonitor::start(vec![Box::new(move |_, _| {
            if words.is_empty() {
                Reply::Close
            } else {
                Reply::Say(words.to_owned())
            }
        })]);
        let mut qmp = Qmp::connect(&monitor.address, short()).unwrap();
        let error = qmp.execute("query-status", json!({})).unwrap_err();
        assert_eq!(error.kind(), FaultKind::Unanswered, "{error}");
        if words.is_empty() {
            let error = qmp.execute("query-status", json!({})).unwrap_err();
            assert!(matches!(error, QmpError::Ended { .. }), "{error}");
        }
    }
}

#[test]
fn what_cannot_be_an_answer_is_nonsense_and_ends_the_conversation() {
    let long = format!(
        "{{\"return\": \"{}\", \"id\": 2}}\n",
        "x".repeat(limits().line)
    );
    let deep = format!("{}\n", "[".repeat(10_000));
    for words in [
        "garbage\n",
        "{\"return\": {}}\n",
        "{\"return\": {}, \"id\": 99}\n",
        "{\"return\": {}, \"id\": 0}\n",
        "{\"return\": {}, \"id\": \"2\"}\n",
        "{\"id\": 2}\n",
        "{\"event\": 7}\n",
        "{\"error\": {\"class\": \"GenericError\"}, \"id\": 2}\n",
        "{\"QMP\": {}}\n",
        "\u{0}\u{1}\u{2}\n",
        &long,
        &deep,
    ] {
        let words = words.to_owned();
        let told: String = words.chars().take(60).collect();
        let monitor = FakeMonitor::answering(move |_, _| Reply::Say(words.clone()));
        let mut qmp = Qmp::connect(&monitor.address, limits()).unwrap();
        let error = qmp.execute("stop", json!({})).unwrap_err();
        assert_eq!(error.kind(), FaultKind::Nonsense, "{told:?}: {error}");
        assert!(qmp.is_over(), "{told:?}");
        assert!(qmp.execute("stop", json!({})).is_err(), "{told:?}");
    }
}

#[test]
fn refusals_are_told_apart_by_class_and_words() {
    for (class, text, kind) in [
        (
            "CommandNotFound",
            "The command x has not been found",
            FaultKind::Unsupported,
        ),
        (
            "DeviceNotFound",
            "Device 'd' not found",
            FaultKind::NotFound,
        ),
        (
            "GenericError",
            "lun already used by 'd-x'",
            FaultKind::AlreadyExists,
        ),
        (
            "GenericError",
            "Duplicate nodes with node-name='v1'",
            FaultKind::AlreadyExists,
        ),
        (
            "GenericError",
            "Duplicate device ID 'd-x'",
            FaultKind::AlreadyExists,
        ),
        ("GenericError", "Node v1 is in use", FaultKind::Busy),
        ("GenericError", "Chardev 'c' is busy", FaultKind::Busy),
        (
            "GenericError",
            "Failed to get \"write\" lock",
            FaultKind::Busy,
        ),
        (
            "GenericError",
            "Failed to find node with node-name='v1'",
            FaultKind::NotFound,
        ),
        (
            "GenericError",
            "Could not open '/x': No space left on device",
            FaultKind::NoSpace,
        ),
        ("GenericError", "something else", FaultKind::Failed),
        ("Unheard", "of", FaultKind::Failed),
    ] {
        let monitor = FakeMonitor::answering(move |_, _| Reply::Error(class, text));
        let mut qmp = Qmp::connect(&monitor.address, limits()).unwrap();
        let error = qmp.execute("x", json!({})).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!qmp.is_over());
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_longer_text_than_anybody_reads_is_cut() {
    let text: &'static str = "y".repeat(5000).leak();
    let monitor = FakeMonitor::answering(move |_, _| Reply::Error("GenericError", text));
    let mut qmp = Qmp::connect(&monitor.address, limits()).unwrap();
    let error = qmp.execute("x", json!({})).unwrap_err();
    assert!(error.to_string().len() < 2000);
}

#[test]
fn an_event_is_waited_for_through_others() {
    let monitor = FakeMonitor::answering(|_, _| {
        let other = "{\"event\": \"DEVICE_DELETED\", \"data\": {\"path\": \"/machine/x\"}}\n";
        let mine = "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"d\"}}\n";
        Reply::Say(format!(
            "{other}{{\"return\": {{}}, \"id\": $ID}}\n{other}{mine}"
        ))
    });
    let mut qmp = Qmp::connect(&monitor.address, limits()).unwrap();
    qmp.execute("device_del", json!({"id": "d"})).unwrap();
    let patience = Duration::from_secs(10);
    let event = qmp.wait_for_event(patience, |event| event.text("device") == Some("d"));
    assert!(event.unwrap().is_some());
    let again = qmp.wait_for_event(Duration::from_millis(50), |_| true);
    assert!(again.unwrap().is_none());
}

#[test]
fn the_corpus_of_answers_is_replayed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/qmp_answers");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        attach::qemu::qmp::fuzz_answers(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 8, "{count} inputs");
}
