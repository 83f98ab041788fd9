//! Systems looked at, with no machine behind the double: several programs find one host.

use computecore::{Guest, MachineModel, MachineState};
use serde_json::Value;

use super::stage::{ID, Windows};

#[test]
fn programs_one_after_another_and_at_once_find_the_same_host() {
    let Some(windows) = Windows::new() else {
        return;
    };
    let told = windows.ok(&["hcs", "ls", "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told[0]["id"], &told[0]["state"]),
        (&ID.into(), &"running".into())
    );
    // Figures move from program to program.
    let reads = || {
        let told = windows.ok(&["hcs", "show", ID, "--json"]);
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&told["state"], &told["schema"]),
            (&"running".into(), &"2.7".into())
        );
        told["storage"]["reads"].as_u64().unwrap()
    };
    let (first, second) = (reads(), reads());
    assert!(first < second, "{first} {second}");
    assert_eq!(windows.log("open:"), [""; 0]);
    assert_eq!(windows.log("broken:"), [""; 0]);
    windows.fails(3, &["hcs", "show", "nobody"]);
    // Of four at once none is lost.
    let running: Vec<_> = (0..4)
        .map(|_| windows.command(&["hcs", "show", ID]).spawn().unwrap())
        .collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(windows.host().machines[ID].looked_at, second + 4);
    let mut host = windows.host();
    host.machines.get_mut(ID).unwrap().stop();
    let mut other = MachineModel::running(Guest::Windows);
    other.state = MachineState::Paused;
    host.machines.insert("other".to_owned(), other);
    windows.set_host(&host);
    let told = windows.ok(&["hcs", "ls"]);
    assert!(
        told.contains("stopped") && told.contains("paused"),
        "{told}"
    );
    // A call that fails is told with its code.
    let mut command = windows.command(&["hcs", "ls"]);
    command.env("HCS_DOUBLE_TROUBLE", r#"{"1":{"Fail":2151088411}}"#);
    let output = Windows::run(&mut command);
    let told = super::stage::said(&output);
    assert!(
        !output.status.success() && told.contains("HCS_E_ACCESS_DENIED"),
        "{told}"
    );
}
