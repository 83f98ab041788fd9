//! Directories of the host, and shares of servers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use attach::{
    Credentials, Fault, FaultKind, Guest, GuestClient, HostPath, Machine as _, Share,
    ShareTransport, SmbSource, Unmounting,
};

use super::machine::{Machine, shell, target, told};
use crate::samba::{Samba, Settings, USER};
use crate::tools;

pub(super) fn of_the_host(machine: &Machine, client: &GuestClient, folder: &Path) {
    if std::env::var_os("CVOL_VIRTIOFSD").is_none() && !Path::new(DAEMON).is_file() {
        tools::absent("virtiofs daemon");
        return;
    }
    let shared = folder.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("hello"), "from the host").unwrap();
    let vm = machine.vm();
    for read_only in [false, true] {
        let share = Share {
            name: format!("share-{read_only}"),
            transport: ShareTransport::VirtioFs,
            path: HostPath::parse(shared.to_str().unwrap()).unwrap(),
            only_file: None,
            read_only,
        };
        let place = target("/shared");
        let missing = client.mount_share_within(&share, &place, Duration::ZERO);
        let missing = missing.unwrap_err();
        assert_eq!(missing.kind(), FaultKind::NotFound, "{missing}");
        vm.add_share(&share).unwrap();
        client.mount_share(&share, &target("/shared")).unwrap();
        client.mount_share(&share, &target("/shared")).unwrap();
        assert_eq!(told(client, "cat /shared/hello"), "from the host");
        let written = shell(client, "echo guest > /shared/guest");
        assert_eq!(written.code == Some(0), !read_only, "{written:?}");
        client
            .unmount(&target("/shared"), Unmounting::Clean)
            .unwrap();
        one_file_of_a_share_appears_by_itself(client, &share);
        vm.remove_share(&share).unwrap();
    }
    assert_eq!(fs::read(shared.join("guest")).unwrap(), b"guest\n");
}

/// Where the package of QEMU has it.
const DAEMON: &str = "/usr/lib/qemu/virtiofsd";

fn one_file_of_a_share_appears_by_itself(client: &GuestClient, share: &Share) {
    let mut share = share.clone();
    let place = target("/etc/only.conf");
    share.only_file = Some("absent".to_owned());
    let absent = client.mount_share(&share, &place).unwrap_err();
    assert_eq!(absent.kind(), FaultKind::NotFound, "{absent}");
    share.only_file = Some("hello".to_owned());
    client.mount_share(&share, &place).unwrap();
    client.mount_share(&share, &place).unwrap();
    assert_eq!(told(client, "cat /etc/only.conf"), "from the host");
    assert_eq!(told(client, "ls /run/cvol-guest-agent"), "");
    let written = shell(client, "printf 'from the host' > /etc/only.conf");
    assert_eq!(written.code == Some(0), !share.read_only, "{written:?}");
    client.unmount(&place, Unmounting::Clean).unwrap();
    assert_eq!(shell(client, "ls /etc/only.conf").code, Some(1));
}

fn mount(
    client: &GuestClient,
    source: &str,
    user: &str,
    password: &str,
    read_only: bool,
) -> Result<(), Fault> {
    let source = SmbSource::parse(source).unwrap();
    let credentials = Credentials {
        user: user.to_owned(),
        domain: None,
        password: password.to_owned().into(),
    };
    client.mount_smb(&source, Some(&credentials), &target("/smb"), read_only)
}

pub(super) fn of_a_server(client: &GuestClient, samba: &Samba) {
    let source = samba.source_for_guest("data");
    let password = samba.password();
    mount(client, &source, USER, password, false).unwrap();
    mount(client, &source, USER, password, false).unwrap();
    told(client, "echo from the guest > /smb/hello");
    let written = samba.data().join("hello");
    assert_eq!(fs::read(&written).unwrap(), b"from the guest\n");
    assert!(told(client, "grep ' /smb ' /proc/mounts").contains("seal"));
    the_password_is_nowhere_to_be_read(client, password);
    client.unmount(&target("/smb"), Unmounting::Clean).unwrap();
    let by_name = source.replace("10.0.2.2", "files.test");
    told(client, "echo 10.0.2.2 files.test > /etc/hosts");
    mount(client, &by_name, USER, password, false).unwrap();
    client.unmount(&target("/smb"), Unmounting::Clean).unwrap();
    mount(client, &source, USER, password, true).unwrap();
    let refused = shell(client, "echo x > /smb/x");
    assert!(refused.errors.contains("Read-only"), "{refused:?}");
    client.unmount(&target("/smb"), Unmounting::Clean).unwrap();
    for (source, user, password, kind) in [
        (&source, USER, "wrong", FaultKind::Denied),
        (&source, "nobody-known", password, FaultKind::Denied),
        (&source, "guest", password, FaultKind::Denied),
        (
            &samba.source_for_guest("absent"),
            USER,
            password,
            FaultKind::NotFound,
        ),
        (
            &samba.source_for_guest("data/absent"),
            USER,
            password,
            FaultKind::NotFound,
        ),
        (
            &samba.source_for_guest("closed"),
            USER,
            password,
            FaultKind::Denied,
        ),
        (
            &"//10.0.2.2:1/data".to_owned(),
            USER,
            password,
            FaultKind::NotFound,
        ),
        (
            &"//no-such-server.test/data".to_owned(),
            USER,
            password,
            FaultKind::NotFound,
        ),
    ] {
        let fault = mount(client, source, user, password, false).unwrap_err();
        assert_eq!(fault.kind(), kind, "{source} {user}: {fault}");
        assert!(!fault.to_string().contains(password), "{fault}");
    }
    assert_eq!(shell(client, "ls -d /smb").code, Some(1));
}

fn the_password_is_nowhere_to_be_read(client: &GuestClient, password: &str) {
    // In two halves, so that the search does not find itself.
    let (first, second) = password.split_at(password.len() / 2);
    let script = format!(
        "p='{first}'; p=$p'{second}'; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ \
         /proc/mounts /proc/self/mountinfo /proc/fs/cifs/* /run/* 2>/dev/null | grep -cF \"$p\"; \
         dmesg | grep -cF \"$p\""
    );
    assert_eq!(shell(client, &script).output, "0\n0\n");
}

/// Servers that do not encrypt, that take strangers for guests, and that know only what is old.
pub(super) fn of_servers_that_are_refused(client: &GuestClient) {
    let plain = Settings {
        encryption: "off",
        guests: "Bad User",
        ..Settings::default()
    };
    let Some(server) = Samba::start_with(plain) else {
        return;
    };
    let source = server.source_for_guest("data");
    let fault = mount(client, &source, USER, server.password(), false).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    drop(server);
    let old = Settings {
        encryption: "off",
        protocols: ("NT1", "NT1"),
        ..Settings::default()
    };
    let Some(server) = Samba::start_with(old) else {
        return;
    };
    let source = server.source_for_guest("data");
    let fault = mount(client, &source, USER, server.password(), false).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
}
