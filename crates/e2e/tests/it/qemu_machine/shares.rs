//! Directories: what the machine has to have, and the daemons.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use attach::{FaultKind, HostPath, Machine as _, QemuVm, Share, ShareTransport};

use super::machine::Bare;
use super::{devices, has_qemu};
use crate::tools;

fn share(name: &str, path: &Path) -> Share {
    Share {
        name: name.to_owned(),
        transport: ShareTransport::VirtioFs,
        path: HostPath::parse(path.to_str().unwrap()).unwrap(),
        only_file: None,
        read_only: false,
    }
}

/// Whether there is a daemon; it comes with QEMU or by itself.
fn has_daemon() -> bool {
    let places = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
    if std::env::var_os("CVOL_VIRTIOFSD").is_some()
        || places.iter().any(|place| Path::new(place).is_file())
    {
        return true;
    }
    tools::absent("virtiofs daemon");
    false
}

/// What is left of a share in the folder of sockets.
fn left(folder: &Path, name: &str) -> Vec<String> {
    let start = format!("{name}.");
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&start)).collect()
}

#[test]
fn a_machine_that_cannot_have_directories_says_what_it_takes() {
    if !has_qemu() || !has_daemon() {
        return;
    }
    for (ports, shares_memory, hint) in [
        (0, true, "pcie-root-port"),
        (1, false, "memory-backend-memfd"),
    ] {
        let bare = Bare::start(ports, shares_memory);
        let fault = bare.vm().add_share(&share("s", bare.folder())).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
        assert!(fault.to_string().contains(hint), "{fault}");
        assert!(left(bare.folder(), "s").is_empty());
    }
}

#[test]
fn a_share_takes_a_port_and_a_daemon_and_another_of_its_name_is_refused() {
    if !has_qemu() || !has_daemon() {
        return;
    }
    let mut bare = Bare::start(2, true);
    let vm = bare.vm();
    let longest = "n".repeat(36);
    let (first, second) = (share(&longest, bare.folder()), share("s2", bare.folder()));
    vm.add_share(&first).unwrap();
    vm.add_share(&first).unwrap();
    let other = Share {
        read_only: true,
        ..first.clone()
    };
    let fault = vm.add_share(&other).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::AlreadyExists, "{fault}");
    // It was never there, so that nothing is taken away.
    vm.remove_share(&other).unwrap();
    vm.add_share(&second).unwrap();
    let fault = vm.add_share(&share("s3", bare.folder())).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    vm.hang_up();
    assert_eq!(
        devices(&bare),
        [format!("cvol-share-{longest}"), "cvol-share-s2".to_owned()]
    );

    // The daemons go with the machine, and what they leave is removed by whoever comes next.
    bare.kill();
    let other_process = QemuVm::new(bare.options());
    for share in [&first, &second, &first] {
        let fault = other_process.remove_share(share).unwrap_err();
        assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
        assert!(left(bare.folder(), &share.name).is_empty());
    }
}

#[test]
fn a_daemon_without_a_machine_is_ended() {
    if !has_qemu() || !has_daemon() {
        return;
    }
    let mut bare = Bare::start(1, true);
    let vm = bare.vm();
    let shared = share("s", bare.folder());
    vm.add_share(&shared).unwrap();
    let record = fs::read_to_string(bare.at("s.share")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    let process = record["process"]["id"].as_u64().unwrap();
    let status = format!("/proc/{process}/stat");
    assert!(Path::new(&status).exists());
    bare.kill();
    let fault = vm.remove_share(&shared).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Gone, "{fault}");
    let started = Instant::now();
    while Path::new(&status).exists() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the daemon lives"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_not_there_or_cannot_be_served_is_refused_and_leaves_nothing() {
    if !has_qemu() || !has_daemon() {
        return;
    }
    let bare = Bare::start(1, true);
    let vm = bare.vm();
    let absent = share("s", &bare.at("absent"));
    let fault = vm.add_share(&absent).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound, "{fault}");
    let file = Share {
        only_file: Some("absent".to_owned()),
        ..share("s", bare.folder())
    };
    let fault = vm.add_share(&file).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound, "{fault}");

    // A daemon that knows the options and dies with a client.
    let program = bare.at("daemon");
    let script = "#!/bin/sh\ntest \"$1\" = --help && echo --fd && exit\necho no luck >&2\nexit 1\n";
    fs::write(&program, script).unwrap();
    let mut permissions = fs::metadata(&program).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(&program, permissions).unwrap();
    let mut options = bare.options();
    options.virtiofsd = Some(program);
    vm.hang_up();
    let unlucky = QemuVm::new(options);
    let fault = unlucky.add_share(&share("s", bare.folder())).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    assert!(fault.to_string().contains("no luck"), "{fault}");
    unlucky.hang_up();
    assert!(devices(&bare).is_empty());
    assert!(left(bare.folder(), "s").is_empty());
    bare.vm().add_share(&share("s", bare.folder())).unwrap();
}
