//! An agent that is none: whatever is at the other end of the channel, attaching ends in time, and nothing
//! is left.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::vm::leftovers;
use crate::command::Cvol;

/// What is done to whoever connects.
type Evil = fn(UnixStream);

fn garbage(mut stream: UnixStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {
        if stream.write_all(&[0xA5; 4096]).is_err() {
            return;
        }
    }
}

fn flood(mut stream: UnixStream) {
    // Whole lines of JSON, and no end to them.
    while stream.write_all(b"{\"answer\":\"done\"}\n").is_ok() {}
}

fn endless(mut stream: UnixStream) {
    // A frame that says it is longer than any can be.
    let _ = stream.write_all(&[0xFF; 64]);
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

fn gone(stream: UnixStream) {
    drop(stream);
}

fn listen(path: &Path, evil: Evil) {
    let listener = UnixListener::bind(path).unwrap();
    // Ends with the process of the test.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || evil(stream));
        }
    });
}

#[test]
fn a_guest_that_answers_nonsense_costs_a_bounded_time_and_nothing_else() {
    let mut agents: Vec<(&str, Evil)> = vec![("flood", flood), ("gone", gone)];
    if super::number("CVOL_ATTACH_DEATHS", 6) == 1 {
        // They are waited for as long as one that is merely slow: two minutes each.
        agents.push(("garbage", garbage));
        agents.push(("endless", endless));
    }
    for (name, evil) in agents {
        let cvol = Cvol::new();
        let at = |file: &str| cvol.work().join(file).display().to_string();
        listen(&cvol.work().join("agent"), evil);
        let (qmp, agent) = (at("qmp"), at("agent"));
        let begun = Instant::now();
        let output = cvol.output(&[
            "attach",
            "--vm",
            "evil",
            "--qmp",
            &qmp,
            "--agent",
            &agent,
            "--guest",
            "linux",
            "-m",
            "type=tmpfs,target=/x",
        ]);
        let told = super::vm::said(&output);
        println!("{name}: {:.1} s: {told}", begun.elapsed().as_secs_f64());
        assert!(
            matches!(output.status.code(), Some(3 | 8)),
            "{name}: {told}"
        );
        assert!(begun.elapsed() < Duration::from_secs(280), "{name}");
        // What may have been mounted stays noted until somebody forces it away.
        let forced = cvol.output(&["detach", "--vm", "evil", "--all", "--force"]);
        assert!(
            forced.status.success(),
            "{name}: {}",
            super::vm::said(&forced)
        );
        assert_eq!(cvol.ok(&["ps", "-q"]), "");
        assert_eq!(leftovers(&cvol, "evil"), [""; 0]);
    }
}
