//! One volume and two machines: many may read it, one may write it.

use std::fs;

use serde_json::Value;

use super::turn;
use super::vm::{Vm, digest_of_bytes, kill, noise, said};
use crate::command::Cvol;

#[test]
fn a_volume_is_read_by_two_machines_and_written_by_one() {
    let _turn = turn();
    let cvol = Cvol::new();
    let tree = cvol.work().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), noise(7, 100_000)).unwrap();
    let tree = tree.display().to_string();
    cvol.ok(&["create", "data", "--size", "64M", "--from", &tree]);
    let Some(one) = Vm::boot(&cvol, "one") else {
        return;
    };
    let Some(two) = Vm::boot(&cvol, "two") else {
        return;
    };
    let (reading, writing) = (
        "source=data,target=/data,readonly",
        "source=data,target=/data",
    );
    one.attach(&[reading]);
    two.attach(&[reading]);
    for vm in [&one, &two] {
        assert_eq!(vm.digest("/data/file"), digest_of_bytes(&noise(7, 100_000)));
        let refused = vm.try_sh("echo x > /data/new");
        assert!(!refused.status.success(), "{}", said(&refused));
    }
    // Who reads keeps those who read.
    cvol.ok(&["cat", "data:/file"]);
    two.detach_all();
    refused_for(&two, writing, "machine one");
    one.detach_all();
    two.attach(&[writing]);
    refused_for(&one, writing, "machine two");
    refused_for(&one, reading, "machine two");
    // The same machine has the disk once, for as many as want it.
    two.attach(&["source=data,target=/again"]);
    two.sh("echo written > /data/new; cat /again/new");
    assert_eq!(two.exports().len(), 2, "a keeper and a server");
    cvol.ok(&["detach", "--vm", "two", "/data"]);
    assert_eq!(two.sh("cat /again/new"), "written\n");
    refused_for(&one, writing, "machine two");
    a_machine_that_dies_is_cleared_away(&cvol, two);
    one.attach(&[writing]);
    one.detach_all();
    one.assert_nothing_attached();
}

fn refused_for(vm: &Vm<'_>, mount: &str, who: &str) {
    let output = vm.try_attach(&[mount]);
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains(who) && text.contains("since"), "{text}");
}

/// QEMU is killed: its volume stays claimed until somebody detaches, and is then free.
fn a_machine_that_dies_is_cleared_away(cvol: &Cvol, vm: Vm<'_>) {
    vm.sh("echo late > /again/late; sync");
    let states = || {
        let told: Value =
            serde_json::from_str(&cvol.ok(&["ps", "--vm", &vm.name, "--json"])).unwrap();
        let mounts = told.as_array().unwrap().iter();
        let mounts = mounts.flat_map(|attachment| attachment["mounts"].as_array().unwrap().clone());
        mounts
            .map(|mount| mount["state"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(states().into_iter().collect::<Vec<_>>(), ["attached"]);
    kill(qemu_of(cvol, &vm.name));
    assert_eq!(states().into_iter().collect::<Vec<_>>(), ["lost"]);
    cvol.fails(5, &["rm", "data"]);
    vm.detach_all();
    vm.assert_nothing_attached();
    cvol.ok(&["check", "data"]);
    let late = cvol.ok(&["cat", "data:/late"]);
    assert_eq!(late, "late\n");
}

/// The process of QEMU of a machine, by what it was started with.
pub(super) fn qemu_of(cvol: &Cvol, machine: &str) -> i32 {
    let folder = cvol.root().join("machines").join(machine);
    let folder = folder.display().to_string();
    let found = fs::read_dir("/proc").unwrap().find_map(|entry| {
        let entry = entry.unwrap();
        let process: i32 = entry.file_name().to_str()?.parse().ok()?;
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        let program = words.split('\0').next()?.to_owned();
        (program.contains("qemu-system") && words.contains(&folder)).then_some(process)
    });
    found.expect("the machine runs")
}
