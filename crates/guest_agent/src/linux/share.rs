//! Directories of the host: virtiofs, and Plan 9 over virtio, TCP and sockets of the hypervisor.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use guest_proto::{ErrorKind, MountShare, Mounted, Refusal, ShareTransport};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::filesystem::{self, Setting, Unmountable, prepare};
use super::mounting::{Places, Ready, Wanted};
use super::target::Kind;
use super::vsock;
use crate::refused::{failed, refusal};

/// How much goes into a message of Plan 9. Hyper-V's own takes twice as much; over other sockets more
/// than this came to a stand.
const MESSAGE: &str = "32768";
/// How often a share is looked for, and how long at most, whatever is asked.
const LOOK: Duration = Duration::from_millis(50);
const MAX_WAIT: Duration = Duration::from_secs(600);
/// Where shares are mounted of which one file alone is shown.
const STAGING: &str = "/run/cvol-guest-agent";

pub(super) fn mount(places: &Places, mount: &MountShare) -> Result<Mounted, Refusal> {
    let source = source(&mount.transport);
    let only_file = mount.only_file.as_deref();
    let access = if mount.read_only { "ro" } else { "rw" };
    let wanted = Wanted {
        target: &mount.target,
        asked: format!("share {:?} {only_file:?} {access}", mount.transport),
        kind: only_file.map_or(Kind::Folder, |_| Kind::File),
        read_only: mount.read_only,
    };
    places.mount(&wanted, || {
        let whole = waited_for(mount)?;
        Ok(Ready {
            mount: match only_file {
                Some(file) => one_file(&whole, file)?,
                None => whole,
            },
            file_system: kind(&mount.transport).to_owned(),
            source,
            formatted: false,
        })
    })
}

fn source(transport: &ShareTransport) -> String {
    match transport {
        ShareTransport::VirtioFs { tag } | ShareTransport::Plan9Virtio { tag } => tag.clone(),
        ShareTransport::Plan9Tcp { server, port, tree } => format!("{server}:{port}/{tree}"),
        ShareTransport::Plan9Vsock { port, tree } => format!("vsock:{port}/{tree}"),
        ShareTransport::VirtualSmb { unc } => unc.clone(),
    }
}

fn kind(transport: &ShareTransport) -> &'static str {
    match transport {
        ShareTransport::VirtioFs { .. } => "virtiofs",
        _ => "9p",
    }
}

/// The whole share, once its device is there.
fn waited_for(mount: &MountShare) -> Result<OwnedFd, Refusal> {
    let started = Instant::now();
    let wait = Duration::from_secs(mount.wait_seconds.into()).min(MAX_WAIT);
    let has_device = matches!(
        mount.transport,
        ShareTransport::VirtioFs { .. } | ShareTransport::Plan9Virtio { .. }
    );
    loop {
        match whole(&mount.transport, mount.read_only) {
            Err(refusal)
                if refusal.kind == ErrorKind::NotFound
                    && has_device
                    && started.elapsed() < wait =>
            {
                std::thread::sleep(LOOK);
            }
            outcome => return outcome,
        }
    }
}

/// The whole share, where nobody sees it yet.
fn whole(transport: &ShareTransport, read_only: bool) -> Result<OwnedFd, Refusal> {
    use Setting::Value;
    let plan9 = [Value("version", "9p2000.L"), Value("msize", MESSAGE)];
    let made = match transport {
        ShareTransport::VirtioFs { tag } => prepare("virtiofs", &[Value("source", tag)], read_only),
        ShareTransport::Plan9Virtio { tag } => {
            let own = [Value("source", tag), Value("trans", "virtio")];
            prepare("9p", &join(own, plan9), read_only)
        }
        ShareTransport::Plan9Tcp { server, port, tree } => {
            if server.parse::<IpAddr>().is_err() {
                let text = format!("{server:?} is no address");
                return Err(refusal(ErrorKind::Invalid, text));
            }
            let port = port.to_string();
            let own = [
                Value("source", server),
                Value("trans", "tcp"),
                Value("port", &port),
                Value("aname", tree),
                Value("uname", "root"),
                Value("access", "client"),
            ];
            prepare("9p", &join(own, plan9), read_only)
        }
        ShareTransport::Plan9Vsock { port, tree } => {
            let socket = vsock::connect_to_host(*port)
                .map_err(|error| failed(format!("port {port} of the host"), error))?;
            let number = socket.as_raw_fd().to_string();
            let own = [
                Value("source", tree),
                Value("trans", "fd"),
                Value("rfdno", &number),
                Value("wfdno", &number),
                Value("aname", tree),
            ];
            // The kernel holds the socket itself from here on.
            prepare("9p", &join(own, plan9), read_only)
        }
        ShareTransport::VirtualSmb { .. } => {
            let text = "shares over the bus of Hyper-V are for Windows guests alone";
            return Err(refusal(ErrorKind::Unsupported, text));
        }
    };
    made.map_err(|unmountable| refuse(&unmountable, transport))
}

fn join<'v, const A: usize, const B: usize>(
    own: [Setting<'v>; A],
    more: [Setting<'v>; B],
) -> Vec<Setting<'v>> {
    own.into_iter().chain(more).collect()
}

fn refuse(unmountable: &Unmountable, transport: &ShareTransport) -> Refusal {
    let what = format!("the share {}", source(transport));
    if unmountable.is_unknown() {
        let text = format!("the kernel of the guest has no {}", kind(transport));
        return refusal(ErrorKind::Unsupported, text);
    }
    let kind = match (unmountable.error, transport) {
        // No device has the tag.
        (Errno::INVAL | Errno::NOENT, ShareTransport::VirtioFs { .. })
        | (Errno::NOENT, ShareTransport::Plan9Virtio { .. }) => ErrorKind::NotFound,
        _ => return unmountable.refuse(&what),
    };
    unmountable.refuse_as(kind, &what)
}

/// A sight of one file of a share. The kernel gives one only of what is mounted somewhere, so the
/// share is put aside for the moment that this takes.
fn one_file(whole: &OwnedFd, file: &str) -> Result<OwnedFd, Refusal> {
    let number = whole.as_raw_fd();
    let aside = format!("{STAGING}/{number}");
    std::fs::create_dir_all(&aside).map_err(|error| failed(&aside, error))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(Path::new(&aside), flags, Mode::empty())
        .map_err(|error| failed(&aside, error))?;
    filesystem::attach(whole, &place).map_err(|unmountable| unmountable.refuse("the share"))?;
    let seen = open_file(whole, file);
    let seen = seen.and_then(|file| {
        filesystem::view(&file).map_err(|unmountable| unmountable.refuse("the file"))
    });
    let gone = rustix::mount::unmount(aside.as_str(), UnmountFlags::DETACH);
    let _ = std::fs::remove_dir(&aside);
    gone.map_err(|error| failed(&aside, error))?;
    seen
}

fn open_file(whole: &OwnedFd, file: &str) -> Result<OwnedFd, Refusal> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = rustix::fs::openat2(whole, file, flags, Mode::empty(), resolve);
    let opened = opened.map_err(|error| failed(format!("the file {file} of the share"), error))?;
    let facts = rustix::fs::fstat(&opened).map_err(|error| failed(file, error))?;
    if !rustix::fs::FileType::from_raw_mode(facts.st_mode).is_file() {
        let text = format!("{file} of the share is no file");
        return Err(refusal(ErrorKind::Invalid, text));
    }
    Ok(opened)
}
