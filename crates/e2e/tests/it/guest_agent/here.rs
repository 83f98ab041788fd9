//! The agent on this machine, in mounts of its own that end with it: what needs no guest kernel.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attach::{FaultKind, Guest, GuestClient, PipeChannel, Unmounting};

use super::machine::{shell, target, told};
use crate::tools;

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent whose targets lie below a folder, by way of its standard streams; `None` where that cannot
/// be (a failure in CI).
fn agent(folder: &std::path::Path) -> Option<(Agent, GuestClient)> {
    if !tools::needs(&["unshare"]) {
        return None;
    }
    let program = tools::made_by_setup("CVOL_GUEST_AGENT", "agent/cvol-guest-agent");
    if !program.is_file() {
        tools::absent(&format!("agent at {}", program.display()));
        return None;
    }
    if tools::run("id", &[&"-u"]).trim() != "0" {
        eprintln!("skipped: mounting needs root");
        return None;
    }
    let root = folder.join("root");
    std::fs::create_dir_all(&root).unwrap();
    let mut command = Command::new("unshare");
    command.arg("--mount").arg(&program).args(["--at", "stdio"]);
    command.arg("--root").arg(root);
    command.arg("--book").arg(folder.join("book.json"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (reader, writer) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
    let client = GuestClient::new(PipeChannel::new(reader, writer));
    client.hello(Duration::from_secs(60)).unwrap();
    Some((Agent(child), client))
}

#[test]
fn an_agent_below_a_folder_mounts_there_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_agent, client)) = agent(folder.path()) else {
        return;
    };
    let place = target("/a/memory");
    client.mount_memory(&place, 1 << 20).unwrap();
    client.mount_memory(&place, 1 << 20).unwrap();
    assert_eq!(client.usage(&place).unwrap().total, 1 << 20);
    assert_eq!(client.mounts().unwrap().len(), 1);
    let inside = folder.path().join("root/a/memory");
    let inside = inside.display();
    told(
        &client,
        &format!("echo x > {inside}/x && grep -q ' {inside} ' /proc/self/mounts"),
    );
    // Nobody else sees it.
    assert!(!folder.path().join("root/a/memory/x").exists());
    client
        .freeze(&place, Duration::from_secs(60))
        .unwrap_or_else(|fault| {
            assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
        });
    told(
        &client,
        &format!("cd {inside} && exec >/dev/null 2>&1 && (sleep 300 & echo $! >{inside}/pid)"),
    );
    let busy = client.unmount(&place, Unmounting::Clean).unwrap_err();
    assert_eq!(busy.kind(), FaultKind::Busy, "{busy}");
    told(&client, &format!("kill $(cat {inside}/pid)"));
    client.unmount(&place, Unmounting::Clean).unwrap();
    assert!(!folder.path().join("root/a").exists());
    let outside = shell(&client, "exit 5");
    assert_eq!(outside.code, Some(5));
}

#[test]
fn an_agent_that_is_killed_in_the_middle_of_a_command_is_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let Some((agent, client)) = agent(folder.path()) else {
        return;
    };
    let number = agent.0.id().to_string();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        tools::run("kill", &[&"-KILL", &number]);
    });
    let run = attach::GuestCommand {
        arguments: ["sleep", "60"].map(str::to_owned).to_vec(),
        limit_seconds: 60,
        limit_output: 1000,
    };
    let mut ignore = |_, _: &[u8]| std::ops::ControlFlow::Continue(());
    let fault = client.run(&run, &mut ignore).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unanswered, "{fault}");
    assert_eq!(client.sync().unwrap_err().kind(), FaultKind::Unanswered);
    killer.join().unwrap();
}
