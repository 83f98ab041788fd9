//! The first process of a system: sets it up, starts the agent, and takes in what becomes orphaned.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use guest_proto::Refusal;
use rustix::mount::MountFlags;
use rustix::process::WaitOptions;
use rustix::system::RebootCommand;

/// What a system needs before anything else: place, kind, flags.
const MOUNTS: [(&str, &str, MountFlags); 5] = [
    ("/proc", "proc", MountFlags::NOSUID),
    ("/sys", "sysfs", MountFlags::NOSUID),
    ("/dev", "devtmpfs", MountFlags::NOSUID),
    ("/run", "tmpfs", MountFlags::NOSUID),
    ("/tmp", "tmpfs", MountFlags::NOSUID),
];

/// Drivers of devices, which nothing else asks for by name.
const DRIVERS: [&str; 12] = [
    "virtio_pci",
    "virtio_console",
    "virtio_scsi",
    "virtio_blk",
    "sd_mod",
    "virtio_net",
    "virtiofs",
    "9pnet_virtio",
    "vmw_vsock_virtio_transport",
    "af_packet",
    "hv_storvsc",
    "hv_sock",
];

/// Where programs are.
const PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// How long an agent that has ended is waited with before the next is started.
const AGAIN: Duration = Duration::from_secs(1);

/// Is the first process: never returns, but where there is no agent to be started.
///
/// # Errors
/// Where no process can be started at all.
pub fn be_init() -> io::Result<()> {
    for (place, kind, flags) in MOUNTS {
        set_up_mount(place, kind, flags);
    }
    if let Some(modprobe) = program("modprobe") {
        // A kernel without modules has no such file, and needs none.
        let _ = fs::write("/proc/sys/kernel/modprobe", &modprobe);
        let mut command = quiet(&modprobe);
        let _ = command.arg("-a").args(DRIVERS).status();
    }
    set_up_network();
    let mut agent = start_agent()?;
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) if pid == rustix::process::Pid::from_child(&agent) => {
                std::thread::sleep(AGAIN);
                agent = start_agent()?;
            }
            Ok(_) => {}
            Err(error) if error == rustix::io::Errno::INTR => {}
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

fn start_agent() -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .spawn()
}

fn set_up_mount(place: &str, kind: &str, flags: MountFlags) {
    let _ = fs::create_dir_all(place);
    let is_there = fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| {
        let mut lines = mounts.lines();
        lines.any(|line| line.split(' ').nth(1) == Some(place))
    });
    if is_there {
        return;
    }
    if let Err(error) = rustix::mount::mount(kind, place, kind, flags, None) {
        eprintln!("cvol-guest-agent: {place} is not mounted: {error}");
    }
}

/// The network of QEMU's own router, or what the command line of the kernel says
/// (`cvol.network=ADDRESS/BITS,ROUTER`).
fn set_up_network() {
    let Some(ip) = program("ip") else { return };
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let mut words = words.split_whitespace();
    let told = words.find_map(|word| word.strip_prefix("cvol.network="));
    let (address, router) = told
        .and_then(|told| told.split_once(','))
        .unwrap_or(("10.0.2.15/24", "10.0.2.2"));
    let run = |line: &[&str]| quiet(&ip).args(line).status().is_ok_and(|s| s.success());
    run(&["link", "set", "lo", "up"]);
    if Path::new("/sys/class/net/eth0").exists() {
        run(&["addr", "add", address, "dev", "eth0"]);
        run(&["link", "set", "eth0", "up"]);
        run(&["route", "add", "default", "via", router]);
        name_server();
    }
}

/// Who is asked for the addresses of names: QEMU's router, unless the system says.
fn name_server() {
    let path = Path::new("/etc/resolv.conf");
    if !path.exists() {
        let _ = fs::create_dir_all("/etc");
        let _ = fs::write(path, "nameserver 10.0.2.3\noptions timeout:2 attempts:2\n");
    }
}

fn program(name: &str) -> Option<String> {
    let mut places = PATH.split(':').map(|folder| format!("{folder}/{name}"));
    places.find(|path| Path::new(path).exists())
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", PATH);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null());
    command
}

/// Writes all out and ends the machine, once the answer has had time to leave.
pub(super) fn power_off_soon() -> Result<(), Refusal> {
    rustix::fs::sync();
    let spawned = std::thread::Builder::new().spawn(|| {
        std::thread::sleep(Duration::from_millis(300));
        rustix::fs::sync();
        if let Err(error) = rustix::system::reboot(RebootCommand::PowerOff) {
            eprintln!("cvol-guest-agent: the machine does not end: {error}");
        }
    });
    spawned
        .map(drop)
        .map_err(|error| crate::refused::failed("no thread to end the machine", error))
}
