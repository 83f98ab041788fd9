//! Disks that are served in the background, without any machine: what a ledger says is served, whoever
//! dies, and nothing else is.

use serde_json::{Value, json};

use super::vm::{eventually, exports, kill_exports, leftovers};
use crate::command::Cvol;
use crate::tools;

/// A store with the volume `data`, which is attached to the machine `web` according to its ledger. QEMU
/// is not there, as after a crash of the whole host.
fn attached_to_nobody(state: &str) -> (Cvol, String) {
    let cvol = Cvol::new();
    cvol.ok(&["create", "data", "--size", "64M"]);
    let socket = |name: &str| cvol.work().join(name).display().to_string();
    let error = cvol.fails(
        3,
        &[
            "attach",
            "--vm",
            "web",
            "--qmp",
            &socket("qmp"),
            "--agent",
            &socket("agent"),
            "--guest",
            "linux",
            "-m",
            "source=data,target=/data",
        ],
    );
    assert!(error.contains("no machine answers"), "{error}");
    assert_eq!(leftovers(&cvol, "web"), [""; 0]);
    let told: Value = serde_json::from_str(&cvol.ok(&["inspect", "data"])).unwrap();
    let (path, serial) = (&told[0]["image_path"], told[0]["id"].as_str().unwrap());
    let disk = json!({"path": path, "serial": serial, "read_only": false});
    let place = json!({"controller": 0, "lun": 0});
    let entry = |id: u64, state: &str, name: &str, parts: &[&Value]| {
        let mut action = json!({"do": name});
        for part in parts {
            let part = part.as_object().unwrap().clone();
            action.as_object_mut().unwrap().extend(part);
        }
        json!({"id": id, "state": state, "holders": [11], "action": action})
    };
    let mount = json!({"serial": serial, "target": "/data", "file_system": "ntfs", "format": false,
                       "read_only": false});
    let ledger = json!({
        "version": 1, "hypervisor": "qemu", "guest": "linux", "next": 20, "revision": 9,
        "attachments": [{
            "id": 10, "owner": "root", "since": 1_700_000_000_u64,
            "mounts": [{
                "id": 11, "source": "volume:data", "reference": format!("volume:{serial}"),
                "target": "/data", "read_only": false, "state": state
            }]
        }],
        "entries": [
            entry(12, "done", "serve-disk", &[&disk]),
            entry(13, "done", "add-disk", &[&disk, &place]),
            entry(14, "done", "mount-disk", &[&mount, &place]),
        ]
    });
    let file = cvol.root().join("machines/web/ledger.json");
    std::fs::write(file, ledger.to_string()).unwrap();
    (cvol, serial.to_owned())
}

#[test]
fn what_a_ledger_says_is_served_again_whoever_died_and_its_volume_is_claimed() {
    if !tools::needs(&["nbdinfo", "kill"]) {
        return;
    }
    let (cvol, serial) = attached_to_nobody("there");
    let served = |cvol: &Cvol| {
        let told = cvol.ok(&["--json", "ps"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        told[0]["mounts"][0]["served"].clone()
    };
    assert_eq!(served(&cvol), true);
    assert_eq!(exports(&cvol, "web").len(), 2);
    let socket = cvol.root().join(format!("machines/web/run/{serial}.nbd"));
    let uri = format!("nbd+unix:///{serial}?socket={}", socket.display());
    tools::run("nbdinfo", &[&uri]);
    let error = cvol.fails(5, &["rm", "data"]);
    assert!(error.contains("machine web"), "{error}");
    // The server dies: the keeper starts another, without any command.
    for _ in 0..3 {
        let server = exports(&cvol, "web").into_iter().find(|it| it.is_server);
        let server = server.unwrap();
        server.kill();
        eventually("another server is there", || {
            let found = exports(&cvol, "web");
            found.iter().any(|it| it.is_server && *it != server) && tools::listens(&socket)
        });
    }
    // The keeper alone dies: it is served all the same, by the server that it left.
    let keeper = exports(&cvol, "web").into_iter().find(|it| !it.is_server);
    keeper.unwrap().kill();
    assert_eq!(served(&cvol), true);
    eventually("the server answers", || {
        std::os::unix::net::UnixStream::connect(&socket).is_ok()
    });
    // Both die: the next command serves it.
    kill_exports(&cvol, "web");
    assert_eq!(served(&cvol), true);
    tools::run("nbdinfo", &[&uri]);
    // The machine is gone, and with the next detach all that was kept for it.
    cvol.ok(&["detach", "--vm", "web", "--all"]);
    assert_eq!(exports(&cvol, "web"), []);
    assert_eq!(leftovers(&cvol, "web"), [""; 0]);
    cvol.ok(&["detach", "--vm", "web", "--all", "--forget"]);
    assert!(!cvol.root().join("machines/web").exists());
    cvol.ok(&["rm", "data"]);
}

#[test]
fn a_lost_database_does_not_lose_who_has_a_volume() {
    let (cvol, _) = attached_to_nobody("there");
    cvol.ok(&["ps"]);
    kill_exports(&cvol, "web");
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(cvol.root().join(file));
    }
    let error = cvol.fails(5, &["rm", "data"]);
    assert!(error.contains("machine web"), "{error}");
    cvol.ok(&["detach", "--vm", "web", "--all"]);
    cvol.ok(&["rm", "data"]);
}

#[test]
fn doctor_releases_claims_of_which_no_machine_knows_and_serves_what_is_not_served() {
    let (cvol, _) = attached_to_nobody("there");
    let told = cvol.output(&["doctor"]);
    assert_eq!(told.status.code(), Some(1));
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("is not served [export]"), "{told}");
    let told = cvol.ok(&["doctor", "--fix"]);
    assert!(told.contains("is not served [export]"), "{told}");
    assert_eq!(exports(&cvol, "web").len(), 2);
    kill_exports(&cvol, "web");
    // Somebody removes the folder of the machine by hand.
    std::fs::remove_dir_all(cvol.root().join("machines/web")).unwrap();
    cvol.fails(5, &["rm", "data"]);
    let told = cvol.output(&["doctor"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("no machine knows of that [claim]"), "{told}");
    cvol.ok(&["doctor", "--fix"]);
    cvol.ok(&["rm", "data"]);
}
