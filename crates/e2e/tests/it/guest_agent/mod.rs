//! The agent in a real guest: one machine, which is asked everything over its socket.
//!
//! A boot takes seconds and the questions little, so one test asks them in turn; each function is a
//! claim, and leaves the guest as it found it.

mod disks;
mod here;
pub(crate) mod machine;
mod shares;

use attach::{FaultKind, Guest, GuestClient, GuestCommand, Unmounting};

use crate::samba::Samba;
use crate::tools;
use machine::{Machine, run_with, shell, target, told};

#[test]
fn a_guest_mounts_and_lets_go_of_all_that_it_is_asked_to() {
    let needed = [
        "mkntfs", "ntfscat", "mkfs.fat", "sgdisk", "mtype", "mke2fs", "e2fsck",
    ];
    let samba = Samba::start();
    if !tools::needs(&needed) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("plan9");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("hello"), "over plan 9").unwrap();
    let fsdev = format!(
        "local,id=plan9,path={},security_model=none",
        shared.display()
    );
    let device = "virtio-9p-pci,fsdev=plan9,mount_tag=plan9";
    let Some(machine) = Machine::boot(&["-fsdev", &fsdev, "-device", device]) else {
        return;
    };
    let client = machine.client();
    commands_run_within_their_limits(&client);
    memory_holds_as_much_as_it_was_given_and_no_more(&client);
    a_mount_in_use_is_let_be_until_it_is_forced(&client);
    targets_are_places_of_the_guest_without_links_and_without_other_mounts(&client);
    disks::all(&machine, &client, folder.path());
    shares::of_the_host(&machine, &client, folder.path());
    if let Some(samba) = &samba {
        shares::of_a_server(&client, samba);
        shares::of_servers_that_are_refused(&client);
    }
    an_agent_that_died_knows_its_mounts_when_it_is_back(&client);
    assert_eq!(client.mounts().unwrap(), []);
    client.sync().unwrap();
    client.power_off().unwrap();
    assert!(machine.ended());
}

fn commands_run_within_their_limits(client: &GuestClient) {
    let said = shell(client, "echo out; echo err >&2; exit 3");
    assert_eq!(said.code, Some(3));
    assert_eq!(
        (said.output.as_str(), said.errors.as_str()),
        ("out\n", "err\n")
    );
    let command = |words: &[&str], limit_seconds, limit_output| GuestCommand {
        arguments: words.iter().map(|word| (*word).to_owned()).collect(),
        limit_seconds,
        limit_output,
    };
    // No shell reads the words.
    let said = run_with(
        client,
        &command(&["echo", "$(reboot); `x`", "a b"], 10, 1000),
    );
    assert_eq!(said.output, "$(reboot); `x` a b\n");
    let said = run_with(client, &command(&["sleep", "60"], 1, 1000));
    assert_eq!(said.limit.as_deref(), Some("longer than allowed"));
    let said = run_with(client, &command(&["yes"], 30, 100_000));
    assert_eq!(said.limit.as_deref(), Some("more output than allowed"));
    assert!(said.output.len() < 200_000);
    let said = shell(client, "kill -SEGV $$");
    assert_eq!((said.code, said.signal), (None, Some(11)));
    let many = told(client, "seq 1 100000");
    assert!(many.ends_with("\n100000\n") && many.lines().count() == 100_000);
    let none = command(&["no-such-program"], 10, 1000);
    let mut ignore = |_, _: &[u8]| std::ops::ControlFlow::Continue(());
    let fault = client.run(&none, &mut ignore).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound, "{fault}");
}

fn memory_holds_as_much_as_it_was_given_and_no_more(client: &GuestClient) {
    let place = target("/run/a/memory");
    client.mount_memory(&place, 1 << 20).unwrap();
    client.mount_memory(&place, 1 << 20).unwrap();
    assert_eq!(client.usage(&place).unwrap().total, 1 << 20);
    let filled = shell(client, "dd if=/dev/zero of=/run/a/memory/x bs=64k count=32");
    assert!(filled.errors.contains("No space left"), "{filled:?}");
    assert_eq!(client.usage(&place).unwrap().free, 0);
    let other = client.mount_memory(&place, 2 << 20).unwrap_err();
    assert_eq!(other.kind(), FaultKind::AlreadyExists);
    let mounts = client.mounts().unwrap();
    assert_eq!(mounts[0].target, "/run/a/memory");
    client.unmount(&place, Unmounting::Clean).unwrap();
    client.unmount(&place, Unmounting::Clean).unwrap();
    // What was made for it is gone with it.
    assert_eq!(shell(client, "ls /run/a").code, Some(1));
}

fn a_mount_in_use_is_let_be_until_it_is_forced(client: &GuestClient) {
    let place = target("/busy");
    client.mount_memory(&place, 1 << 20).unwrap();
    told(client, "cd /busy && exec >/dev/null 2>&1 && (sleep 300 &)");
    let busy = client.unmount(&place, Unmounting::Clean).unwrap_err();
    assert_eq!(busy.kind(), FaultKind::Busy);
    assert!(busy.to_string().contains("(sleep)"), "{busy}");
    assert_eq!(client.mounts().unwrap().len(), 1);
    client.unmount(&place, Unmounting::Forced).unwrap();
    assert_eq!(shell(client, "ls -d /busy").code, Some(1));
    told(client, "killall sleep");
}

fn targets_are_places_of_the_guest_without_links_and_without_other_mounts(client: &GuestClient) {
    told(client, "ln -s /tmp /link && touch /file");
    for (place, kind) in [
        ("/link", FaultKind::Invalid),
        ("/link/x", FaultKind::Invalid),
        ("/file/x", FaultKind::Invalid),
        ("/file", FaultKind::AlreadyExists),
        ("/proc", FaultKind::AlreadyExists),
        ("/tmp", FaultKind::AlreadyExists),
    ] {
        let fault = client.mount_memory(&target(place), 1 << 20).unwrap_err();
        assert_eq!(fault.kind(), kind, "{place}: {fault}");
    }
    let foreign = client.unmount(&target("/tmp"), Unmounting::Clean);
    assert_eq!(foreign.unwrap_err().kind(), FaultKind::Denied);
    assert_eq!(told(client, "ls /tmp | wc -l").trim(), "0");
    // A folder that was there stays, with what is in it.
    told(client, "rm /link /file && mkdir /kept && echo x >/kept/x");
    client.mount_memory(&target("/kept"), 1 << 20).unwrap();
    client.unmount(&target("/kept"), Unmounting::Clean).unwrap();
    assert_eq!(told(client, "cat /kept/x"), "x\n");
}

fn an_agent_that_died_knows_its_mounts_when_it_is_back(client: &GuestClient) {
    client.mount_memory(&target("/left"), 1 << 20).unwrap();
    let kill = GuestCommand {
        arguments: ["sh", "-c", "kill -9 $PPID"].map(str::to_owned).to_vec(),
        limit_seconds: 3,
        limit_output: 1000,
    };
    let mut ignore = |_, _: &[u8]| std::ops::ControlFlow::Continue(());
    let fault = client.run(&kill, &mut ignore);
    assert!(fault.is_err() || fault.is_ok_and(|end| end.code.is_none()));
    assert_eq!(client.mounts().unwrap().len(), 1);
    client.mount_memory(&target("/left"), 1 << 20).unwrap();
    client.unmount(&target("/left"), Unmounting::Clean).unwrap();
    assert_eq!(shell(client, "ls -d /left").code, Some(1));
}
