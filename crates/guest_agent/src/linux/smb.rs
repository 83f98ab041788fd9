//! Shares of SMB servers, by the kernel's cifs. The password goes to the kernel as the value of one
//! option and nowhere else.

use std::net::{SocketAddr, ToSocketAddrs};

use guest_proto::{ErrorKind, MountSmb, Mounted, Refusal};
use rustix::io::Errno;

use super::filesystem::{Setting, Unmountable, prepare};
use super::mounting::{Places, Ready, Wanted};
use super::target::Kind;
use crate::refused::{failed, refusal};

/// SMB's own port.
const PORT: u16 = 445;
/// Names that servers give to whoever cannot log in.
const GUESTS: [&str; 3] = ["guest", "anonymous", "nobody"];
/// What the kernel says about its sessions.
const SESSIONS: &str = "/proc/fs/cifs/DebugData";

pub(super) fn mount(places: &Places, mount: &MountSmb) -> Result<Mounted, Refusal> {
    check(mount)?;
    let unc = unc(mount);
    let access = if mount.read_only { "ro" } else { "rw" };
    let seal = if mount.require_encryption {
        "seal"
    } else {
        "sign"
    };
    let wanted = Wanted {
        target: &mount.target,
        asked: format!(
            "smb {unc} {:?} {:?} {:?} {access} {seal}",
            mount.port, mount.user, mount.domain
        ),
        kind: Kind::Folder,
        read_only: mount.read_only,
    };
    places.mount(&wanted, || {
        let address = resolve(mount)?;
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut settings = vec![
            Setting::Value("source", &unc),
            Setting::Value("ip", &ip),
            Setting::Value("port", &port),
            Setting::Value("vers", "3.1.1"),
            Setting::Value("sec", "ntlmssp"),
            Setting::Value("user", &mount.user),
            Setting::Value("pass", mount.password.reveal()),
            Setting::Flag(seal),
            // Connections are not shared between mounts of unlike needs.
            Setting::Flag("nosharesock"),
        ];
        if let Some(domain) = &mount.domain {
            settings.push(Setting::Value("domain", domain));
        }
        let made = prepare("cifs", &settings, mount.read_only);
        let made = made.map_err(|unmountable| refuse(&unmountable, &unc))?;
        // Dropped with the mount where the server let somebody in that it does not know.
        refuse_guests(&ip, &unc)?;
        Ok(Ready {
            mount: made,
            file_system: "cifs".to_owned(),
            source: unc.clone(),
            formatted: false,
        })
    })
}

fn check(mount: &MountSmb) -> Result<(), Refusal> {
    let user = mount.user.to_lowercase();
    if user.is_empty() || GUESTS.contains(&user.as_str()) {
        let text = format!(
            "{:?} is the account of guests, which is not used",
            mount.user
        );
        return Err(refusal(ErrorKind::Denied, text));
    }
    if mount.password.reveal().is_empty() {
        let text = "there is no password";
        return Err(refusal(ErrorKind::Denied, text));
    }
    let is_name = |name: &str| !name.contains(['/', '\\']) && name != "..";
    let parts = mount.path.split('/').all(|name| name != "..");
    if !is_name(&mount.server) || !is_name(&mount.share) || !parts || mount.path.contains('\\') {
        let text = format!("{} is no share", unc(mount));
        return Err(refusal(ErrorKind::Invalid, text));
    }
    Ok(())
}

fn unc(mount: &MountSmb) -> String {
    let mut unc = format!("//{}/{}", mount.server, mount.share);
    for name in mount.path.split('/').filter(|name| !name.is_empty()) {
        unc.push('/');
        unc.push_str(name);
    }
    unc
}

/// The kernel takes an address alone.
fn resolve(mount: &MountSmb) -> Result<SocketAddr, Refusal> {
    let port = mount.port.unwrap_or(PORT);
    let found = (mount.server.as_str(), port).to_socket_addrs();
    let mut found = found.map_err(|error| {
        let text = format!("the guest finds no address of {}: {error}", mount.server);
        refusal(ErrorKind::NotFound, text)
    })?;
    found.next().ok_or_else(|| {
        let text = format!("the guest finds no address of {}", mount.server);
        refusal(ErrorKind::NotFound, text)
    })
}

fn refuse(unmountable: &Unmountable, unc: &str) -> Refusal {
    if unmountable.is_unknown() {
        let text = "the kernel of the guest has no cifs";
        return refusal(ErrorKind::Unsupported, text);
    }
    let (kind, why) = match unmountable.error {
        Errno::ACCESS | Errno::PERM | Errno::KEYEXPIRED | Errno::KEYREVOKED => {
            let why = "the server does not let this user in with this password";
            (ErrorKind::Denied, why)
        }
        Errno::NOENT | Errno::NXIO => (ErrorKind::NotFound, "the server has no such share or path"),
        Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH => {
            (ErrorKind::NotFound, "no server answers there")
        }
        Errno::TIMEDOUT | Errno::AGAIN => (ErrorKind::TimedOut, "the server does not answer"),
        // Who knows only what is older hangs up.
        Errno::OPNOTSUPP | Errno::HOSTDOWN => {
            let why = "the server does not speak SMB 3.1.1, or does not encrypt";
            (ErrorKind::Unsupported, why)
        }
        _ => return unmountable.refuse(unc),
    };
    unmountable.refuse_as(kind, &format!("{unc}: {why}; it"))
}

/// Refuses where the server took whoever logged in for a guest.
fn refuse_guests(ip: &str, unc: &str) -> Result<(), Refusal> {
    let told = match std::fs::read_to_string(SESSIONS) {
        Ok(told) => told,
        // A kernel that tells nothing has been told to sign or to encrypt, which guests cannot.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(SESSIONS, error)),
    };
    if let Some(who) = guest_session(&told, ip) {
        let text = format!("{unc}: the server took the user for {who}, which is not used");
        return Err(refusal(ErrorKind::Denied, text));
    }
    Ok(())
}

/// What the kernel says of a session with a server where it is one of a guest.
fn guest_session(told: &str, ip: &str) -> Option<&'static str> {
    let mut is_ours = false;
    for line in told.lines() {
        if let Some((_, rest)) = line.split_once("Address: ") {
            is_ours = rest.split_whitespace().next() == Some(ip);
        }
        let words = || line.split_whitespace();
        if is_ours && words().any(|word| word == "Guest") {
            return Some("a guest");
        }
        if is_ours && words().any(|word| word == "Anonymous") {
            return Some("nobody");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use guest_proto::Secret;

    use super::*;

    fn share(user: &str, password: &str, server: &str, path: &str) -> MountSmb {
        MountSmb {
            server: server.to_owned(),
            port: Some(1445),
            share: "data".to_owned(),
            path: path.to_owned(),
            user: user.to_owned(),
            domain: None,
            password: Secret::new(password),
            target: "/mnt/x".to_owned(),
            read_only: false,
            require_encryption: true,
        }
    }

    #[test]
    fn guests_and_odd_shares_are_refused_before_anything_is_sent() {
        for (user, password, server, path, kind) in [
            ("", "x", "srv", "", Some(ErrorKind::Denied)),
            ("Guest", "x", "srv", "", Some(ErrorKind::Denied)),
            ("u", "", "srv", "", Some(ErrorKind::Denied)),
            ("u", "x", "s/rv", "", Some(ErrorKind::Invalid)),
            ("u", "x", "srv", "a/../b", Some(ErrorKind::Invalid)),
            ("u", "x", "srv", "a\\b", Some(ErrorKind::Invalid)),
            ("u", "x,y", "srv", "a/b", None),
        ] {
            let outcome = check(&share(user, password, server, path));
            assert_eq!(
                outcome.err().map(|refusal| refusal.kind),
                kind,
                "{user} {server} {path}"
            );
        }
    }

    #[test]
    fn shares_are_named_as_the_kernel_reads_them() {
        assert_eq!(unc(&share("u", "x", "srv", "a//b/")), "//srv/data/a/b");
        let address = resolve(&share("u", "x", "10.0.2.2", "")).unwrap();
        assert_eq!(address.to_string(), "10.0.2.2:1445");
        let address = resolve(&share("u", "x", "2001:db8::1", "")).unwrap();
        assert_eq!(address.to_string(), "[2001:db8::1]:1445");
    }

    #[test]
    fn a_session_of_a_guest_is_seen() {
        let told = "Servers:\n1) ConnectionId: 0x1 Hostname: 10.0.2.2\nNumber of credits: 1\n\
                    \t1) Address: 10.0.2.2 Uses: 1 Capability: 0x3 Session Status: 1\n\
                    \tSecurity type: RawNTLMSSP  SessionId: 0x5 Guest\n";
        assert_eq!(guest_session(told, "10.0.2.2"), Some("a guest"));
        assert_eq!(guest_session(told, "10.0.2.3"), None);
        assert_eq!(
            guest_session(&told.replace(" Guest", " encrypted"), "10.0.2.2"),
            None
        );
    }
}
