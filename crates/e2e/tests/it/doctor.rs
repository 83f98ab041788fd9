//! Commands on a store killed at any moment: afterwards `cvol doctor` finds nothing, or mends it, and no
//! file is lost.

use std::process::Stdio;
use std::time::Duration;

use crate::command::Cvol;
use crate::random::Random;

fn doctor(cvol: &Cvol) -> (i32, serde_json::Value) {
    let output = cvol
        .command(&["doctor", "--fix", "--deep", "--json"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told = serde_json::from_str(&text).unwrap_or_else(|_| {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().unwrap(), told)
}

#[test]
fn after_any_kill_the_doctor_finds_nothing_or_mends_it() {
    let cvol = Cvol::new();
    let file = cvol.work().join("file.txt");
    std::fs::write(&file, "kept through it all").unwrap();
    let file = file.to_str().unwrap();
    cvol.ok(&["create", "base", "--size", "32M"]);
    cvol.ok(&["cp", file, "base:/kept.txt"]);
    let mut random = Random(77);
    let mut killed = 0;
    for round in 0..120 {
        let snapshot = format!("base@s{}", random.below(4));
        let new_file = format!("base:/n{}", random.below(8));
        let clone = format!("c{}", random.below(3));
        let arguments: Vec<&str> = match random.below(8) {
            0 | 1 => vec!["snapshot", "create", &snapshot],
            2 => vec!["snapshot", "rm", &snapshot],
            3 => vec!["snapshot", "restore", &snapshot],
            4 => vec!["clone", &snapshot, &clone],
            5 => vec!["rm", &clone],
            6 => vec!["create", &clone, "--size", "16M"],
            _ => vec!["cp", file, &new_file],
        };
        let mut command = cvol.command(&arguments);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 4 == 3 {
            let (code, told) = doctor(&cvol);
            assert_eq!(code, 0, "round {round}, after {arguments:?}: {told}");
            assert_eq!(cvol.ok(&["cat", "base:/kept.txt"]), "kept through it all");
        }
    }
    assert!(
        killed >= 6,
        "only {killed} of 120 were still running when killed"
    );
    let (_, told) = doctor(&cvol);
    let notes = told["findings"].as_array().unwrap();
    assert!(notes.is_empty(), "mended once, nothing is left: {told}");
}
