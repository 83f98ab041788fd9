//! Everybody dies: whoever attaches or detaches at each boundary between two steps, what serves a disk
//! under a mounted volume, the guest. After the next command all is as before, or as after.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::five::Five;
use super::vm::{Vm, digest_of_bytes, eventually, kill, kill_exports, noise, said};
use super::{number, turn};
use crate::tools;

/// No plan of five mounts has so many boundaries.
const MOST: usize = 200;

#[test]
fn whoever_dies_leaves_a_machine_as_before_or_as_after() {
    let _turn = turn();
    let Some(five) = Five::new() else { return };
    let Some(vm) = Vm::boot(&five.cvol, "web") else {
        return;
    };
    let before = vm.state();
    let step = number("CVOL_ATTACH_DEATHS", 6);
    let attaching = dying_while_attaching(&five, &vm, &before, step);
    let detaching = dying_while_detaching(&five, &vm, &before, step);
    println!("died at {attaching} boundaries of attaching, {detaching} of detaching");
    assert!(attaching >= 3 && detaching >= 2);
    exports_that_die_come_back_under_a_mounted_volume(&five, &vm);
    a_guest_that_dies_leaves_nothing_on_the_host(&five, &vm);
}

/// The machine is killed while whoever attaches stands between two steps, and goes on then.
#[test]
fn a_machine_that_dies_between_two_steps_of_attaching_leaves_nothing() {
    let _turn = turn();
    let Some(five) = Five::new() else { return };
    let mounts = five.mounts();
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let step = number("CVOL_MACHINE_DEATHS", 9);
    for (deaths, at) in (1..MOST).step_by(step).enumerate() {
        let Some(vm) = Vm::boot(&five.cvol, "web") else {
            return;
        };
        let words = vm.attach_words(&mounts);
        let mut command = five.cvol.command(&words);
        command.env("CVOL_PAUSE_AT", at.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut attaching = command.spawn().unwrap();
        if !pauses(&mut attaching) {
            let output = attaching.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", said(&output));
            vm.detach_all();
            println!("the machine died at {deaths} boundaries");
            assert!(deaths >= 2);
            return;
        }
        kill(super::sharing::qemu_of(&five.cvol, "web"));
        tools::run("kill", &[&"-CONT", &attaching.id().to_string()]);
        let output = attaching.wait_with_output().unwrap();
        if output.status.success() {
            // All was there before the machine died.
            vm.detach_all();
        }
        vm.assert_nothing_attached();
        five.cvol.ok(&["check", "data"]);
        five.cvol.ok(&["fsck", "data"]);
    }
    panic!("a plan of five mounts has no {MOST} boundaries");
}

/// Waits until a process pauses; `false` where it ends before.
fn pauses(process: &mut Child) -> bool {
    let stat = format!("/proc/{}/stat", process.id());
    loop {
        let told = std::fs::read_to_string(&stat).unwrap_or_default();
        // The state stands behind the name, which is in brackets.
        let state = told
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.chars().next());
        if state == Some('T') {
            return true;
        }
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A command that is killed at a boundary; whether it was.
fn dies(five: &Five, words: &[&str], at: usize) -> bool {
    let mut command = five.cvol.command(words);
    let output = command.env("CVOL_DIE_AT", at.to_string()).output().unwrap();
    let was_killed = output.status.code().is_none();
    assert!(was_killed || output.status.success(), "{}", said(&output));
    was_killed
}

fn dying_while_attaching(five: &Five, vm: &Vm<'_>, before: &str, step: usize) -> usize {
    let mounts = five.mounts();
    let mounts: Vec<&str> = mounts.iter().map(String::as_str).collect();
    let words = vm.attach_words(&mounts);
    for (deaths, at) in (0..MOST).step_by(step).enumerate() {
        if !dies(five, &words, at) {
            vm.detach_all();
            return deaths;
        }
        if vm.ps()[0]["mounts"]
            .as_array()
            .is_some_and(|mounts| mounts.iter().all(|mount| mount["state"] == "attached"))
        {
            // After the last note: all was there.
            assert_eq!(
                vm.digest("/m/team/third"),
                digest_of_bytes(&noise(3, 100_000))
            );
            vm.detach_all();
            continue;
        }
        // Whatever the next command is, here one that fails by itself, and changes nothing then.
        let next = vm.try_attach(&["source=none,target=/none"]);
        assert_eq!(next.status.code(), Some(3), "{}", said(&next));
        vm.assert_nothing_attached();
        assert_eq!(vm.state(), before, "died at boundary {at} of attaching");
        five.cvol.ok(&["check", "data"]);
    }
    panic!("a plan of five mounts has no {MOST} boundaries");
}

fn dying_while_detaching(five: &Five, vm: &Vm<'_>, before: &str, step: usize) -> usize {
    let words = ["detach", "--vm", "web", "--all"];
    for (deaths, at) in (0..MOST).step_by(step).enumerate() {
        five.attach(vm);
        if !dies(five, &words, at) {
            return deaths;
        }
        let ps = vm.ps();
        // What was not begun to leave is there, and works.
        if ps[0]["mounts"][0]["state"] == "attached" {
            assert_eq!(
                vm.digest("/m/data/first"),
                digest_of_bytes(&noise(1, 300_000)),
                "died at boundary {at} of detaching"
            );
        }
        vm.detach_all();
        vm.assert_nothing_attached();
        assert_eq!(vm.state(), before, "died at boundary {at} of detaching");
    }
    panic!("taking five mounts away has no {MOST} boundaries");
}

fn exports_that_die_come_back_under_a_mounted_volume(five: &Five, vm: &Vm<'_>) {
    five.attach(vm);
    // Read what is not in the guest's memory, and write, while servers come and go.
    let drop = "echo 3 > /proc/sys/vm/drop_caches";
    for round in 0..3 {
        let server = vm.exports().into_iter().find(|it| it.is_server).unwrap();
        server.kill();
        let script =
            format!("{drop}; sha256sum /m/data/first; echo {round} > /m/data/r{round}; sync");
        let told = vm.sh(&script);
        assert!(
            told.contains(&digest_of_bytes(&noise(1, 300_000))),
            "{told}"
        );
        eventually("another server is there", || {
            let exports = vm.exports();
            exports.iter().any(|it| it.is_server && *it != server)
        });
    }
    // Keeper and server: the next command serves the disk again.
    kill_exports(&five.cvol, "web");
    assert_eq!(vm.ps()[0]["mounts"][0]["served"], true);
    let told = vm.sh(&format!(
        "{drop}; sha256sum /m/data/first; echo last > /m/data/last; sync"
    ));
    assert!(
        told.contains(&digest_of_bytes(&noise(1, 300_000))),
        "{told}"
    );
    vm.detach_all();
    vm.assert_nothing_attached();
    for (file, text) in [
        ("r0", "0\n"),
        ("r1", "1\n"),
        ("r2", "2\n"),
        ("last", "last\n"),
    ] {
        assert_eq!(five.cvol.ok(&["cat", &format!("data:/{file}")]), text);
    }
    five.cvol.ok(&["check", "data"]);
    five.cvol.ok(&["fsck", "data"]);
}

/// The agent is killed in mid-work, and with it every answer; then the whole machine.
fn a_guest_that_dies_leaves_nothing_on_the_host(five: &Five, vm: &Vm<'_>) {
    five.attach(vm);
    vm.sh("echo kept > /m/data/kept; sync");
    kill(super::sharing::qemu_of(&five.cvol, "web"));
    // Nothing can be attached to what is not there, and what was is still known.
    let late = vm.try_attach(&["type=tmpfs,target=/late"]);
    assert!(!late.status.success());
    vm.detach_all();
    vm.assert_nothing_attached();
    assert_eq!(five.cvol.ok(&["cat", "data:/kept"]), "kept\n");
}
