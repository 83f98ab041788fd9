//! Many processes on one store, and processes killed at any moment.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use crate::command::Cvol;
use crate::random::Random;

/// A store on memory-backed storage where there is one: the test is about order, not about disks.
fn store() -> Cvol {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() {
        Cvol::under(memory)
    } else {
        Cvol::new()
    }
}

/// Every volume has its one folder, and no folder stands without its volume.
fn assert_whole(cvol: &Cvol) {
    let names = cvol.names();
    let unique: BTreeSet<&String> = names.iter().collect();
    assert_eq!(
        unique.len(),
        names.len(),
        "a volume is listed twice: {names:?}"
    );
    assert_eq!(
        cvol.volume_folders().len(),
        names.len(),
        "stray or lost folders"
    );
    for name in names {
        assert!(cvol.image(&name).is_file(), "{name} has no image");
    }
    for entry in std::fs::read_dir(cvol.root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let known = [
            "volumes",
            "state.db",
            "state.db-wal",
            "state.db-shm",
            "locks",
            "machines",
            "store.lock",
            "reserve",
        ];
        assert!(known.contains(&&*name), "stray file {name} in the store");
    }
}

#[test]
fn sixty_four_processes_create_list_and_remove_at_once() {
    let cvol = store();
    let script = |worker: u32| -> Vec<Vec<String>> {
        let name = |number: u32| format!("w{worker}-{number}");
        let create = |name: String| {
            ["create", &name, "--size", "8M", "--fs", "none"]
                .map(str::to_owned)
                .to_vec()
        };
        vec![
            create(name(1)),
            create(name(2)),
            vec!["ls".into(), "--quiet".into()],
            vec!["rm".into(), name(1)],
            create(name(3)),
            vec!["inspect".into(), name(2)],
            vec!["rm".into(), name(3)],
        ]
    };
    std::thread::scope(|scope| {
        for worker in 0..64 {
            let cvol = &cvol;
            scope.spawn(move || {
                for arguments in script(worker) {
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    cvol.ok(&arguments);
                }
            });
        }
    });
    let mut expected: Vec<String> = (0..64).map(|worker| format!("w{worker}-2")).collect();
    expected.sort();
    assert_eq!(cvol.names(), expected);
    assert_whole(&cvol);
}

#[test]
fn of_processes_that_create_one_name_at_once_exactly_one_wins() {
    let cvol = store();
    let codes: Vec<Option<i32>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let cvol = &cvol;
                scope.spawn(move || {
                    cvol.output(&["create", "same", "--size", "8M", "--fs", "none"])
                        .status
                        .code()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(
        codes.iter().filter(|code| **code == Some(0)).count(),
        1,
        "{codes:?}"
    );
    assert!(
        codes.iter().all(|code| matches!(code, Some(0 | 4 | 5))),
        "{codes:?}"
    );
    assert_whole(&cvol);
}

#[test]
fn two_hundred_creates_and_removes_killed_at_any_moment_leave_a_whole_store() {
    let cvol = store();
    let source = cvol.work().join("source");
    crate::tree::small(&source);
    let from = source.to_str().unwrap();
    let mut random = Random(4242);
    let mut killed = 0;
    for round in 0..200 {
        let name = format!("v{}", random.below(5));
        let mut command = if random.below(5) < 3 {
            cvol.command(&["create", &name, "--size", "64M", "--from", from])
        } else {
            cvol.command(&["rm", &name])
        };
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(15_000)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if round % 10 == 9 {
            assert_whole(&cvol);
        }
    }
    assert!(
        killed >= 10,
        "only {killed} of 200 were still running when killed"
    );
    assert_whole(&cvol);
    for name in cvol.names() {
        assert_eq!(
            cvol.ok(&["cat", &format!("{name}:/hello.txt")]),
            "hello, volume\n"
        );
        cvol.ok(&["check", "--volume", &name]);
        cvol.ok(&["rm", &name]);
    }
    assert_eq!(cvol.volume_folders(), [""; 0]);
}

#[test]
fn a_lost_database_is_rebuilt_from_the_records_beside_the_images() {
    let cvol = store();
    cvol.ok(&["create", "kept", "--size", "32M", "--label", "team=blue"]);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(cvol.root().join(file));
    }
    assert_eq!(cvol.names(), ["kept"]);
    assert!(cvol.ok(&["inspect", "kept"]).contains("blue"));
    assert_whole(&cvol);
}
