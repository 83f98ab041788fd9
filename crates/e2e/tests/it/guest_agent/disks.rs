//! Disks at their places: found, waited for, formatted where they hold nothing, frozen, let go.

use std::fs;
use std::path::Path;
use std::time::Duration;

use attach::{DiskMount, FaultKind, Guest, GuestClient, GuestFileSystem, Slot, Unmounting};

use super::machine::{Machine, image, shell, target, told};
use crate::tools;

const LONG_SERIAL: &str = "VOL-0123456789abcdef0123456789abcdef";

pub(super) fn all(machine: &Machine, client: &GuestClient, folder: &Path) {
    what_a_guest_writes_to_ntfs_is_there_at_rest(machine, client, folder);
    a_disk_that_comes_late_is_waited_for(machine, client, folder);
    an_empty_disk_is_formatted_when_that_is_asked_for(machine, client, folder);
    what_holds_anything_is_never_formatted(machine, client, folder);
    a_formatting_that_was_cut_short_is_begun_again(machine, client, folder);
    a_disk_that_can_only_be_read_is_mounted_so_or_not_at_all(machine, client, folder);
}

fn at(place: (u8, u8)) -> Slot {
    Slot {
        controller: place.0,
        lun: place.1,
    }
}

fn mount(place: (u8, u8), serial: &str, path: &str) -> DiskMount {
    DiskMount {
        slot: at(place),
        serial: serial.to_owned(),
        target: target(path),
        file_system: None,
        format: false,
        read_only: false,
    }
}

fn let_go(machine: &Machine, client: &GuestClient, place: (u8, u8)) {
    client.unplug_disk(at(place)).unwrap();
    client.unplug_disk(at(place)).unwrap();
    machine.remove_disk(place);
}

fn what_a_guest_writes_to_ntfs_is_there_at_rest(
    machine: &Machine,
    client: &GuestClient,
    folder: &Path,
) {
    let disk = image(folder, "ntfs.raw", 32);
    tools::run("mkntfs", &[&"-q", &"-F", &"-Q", &disk]);
    let place = (0, 5);
    machine.add_disk(&disk, place, "VOL-NTFS", false);
    let mut wanted = mount(place, "VOL-NTFS", "/data/ntfs");
    wanted.file_system = Some(GuestFileSystem::Ntfs);
    client.mount_disk(&wanted).unwrap();
    client.mount_disk(&wanted).unwrap();
    told(client, "echo from the guest > '/data/ntfs/a b'");
    let mounted = client.unplug_disk(at(place)).unwrap_err();
    assert_eq!(mounted.kind(), FaultKind::Busy, "{mounted}");
    client
        .unmount(&target("/data/ntfs"), Unmounting::Clean)
        .unwrap();
    // The place is taken by a disk that calls itself otherwise.
    let mut other = mount(place, "VOL-OTHER", "/data/ntfs");
    other.file_system = wanted.file_system;
    let fault = client.mount_disk_within(&other, Duration::from_secs(1));
    let fault = fault.unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound, "{fault}");
    assert!(fault.to_string().contains("VOL-NTFS"), "{fault}");
    let_go(machine, client, place);
    let read = tools::run("ntfscat", &[&disk, &"a b"]);
    assert_eq!(read, "from the guest\n");
}

fn a_disk_that_comes_late_is_waited_for(machine: &Machine, client: &GuestClient, folder: &Path) {
    let disk = image(folder, "fat.raw", 64);
    tools::run("sgdisk", &[&"-n", &"1:2048:0", &"-t", &"1:0700", &disk]);
    tools::run(
        "mkfs.fat",
        &[&"-F", &"32", &"--offset", &"2048", &disk, &"64000"],
    );
    let place = (1, 63);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.mount_disk(&mount(place, "VOL-FAT", "/fat")));
        std::thread::sleep(Duration::from_millis(500));
        machine.add_disk(&disk, place, "VOL-FAT", false);
        waiting.join().unwrap().unwrap();
    });
    let mounts = client.mounts().unwrap();
    assert_eq!(mounts[0].file_system, "vfat");
    assert!(mounts[0].source.ends_with('1'), "{mounts:?}");
    told(client, "echo short > /fat/übung.txt");
    client.unmount(&target("/fat"), Unmounting::Clean).unwrap();
    let_go(machine, client, place);
    let inside = format!("{}@@1M", disk.display());
    assert_eq!(
        tools::run("mtype", &[&"-i", &inside, &"::übung.txt"]),
        "short\n"
    );
}

fn an_empty_disk_is_formatted_when_that_is_asked_for(
    machine: &Machine,
    client: &GuestClient,
    folder: &Path,
) {
    let disk = image(folder, "new.raw", 64);
    let place = (3, 0);
    machine.add_disk(&disk, place, LONG_SERIAL, false);
    let mut wanted = mount(place, LONG_SERIAL, "/new");
    let fault = client.mount_disk(&wanted).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound, "{fault}");
    assert!(fs::read(&disk).unwrap().iter().all(|byte| *byte == 0));
    wanted.format = true;
    wanted.file_system = Some(GuestFileSystem::Refs);
    let fault = client.mount_disk(&wanted).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Unsupported, "{fault}");
    wanted.file_system = Some(GuestFileSystem::Ext4);
    client.mount_disk(&wanted).unwrap();
    told(client, "echo kept > /new/file");
    a_frozen_file_system_keeps_its_writers_waiting(client, "/new");
    client.unmount(&target("/new"), Unmounting::Clean).unwrap();
    // The second time it is not empty.
    client.mount_disk(&wanted).unwrap();
    // One disk may be seen at several places.
    wanted.target = target("/again");
    client.mount_disk(&wanted).unwrap();
    assert_eq!(told(client, "cat /new/file /again/file"), "kept\nkept\n");
    for path in ["/new", "/again"] {
        client.unmount(&target(path), Unmounting::Clean).unwrap();
    }
    let_go(machine, client, place);
    tools::run("e2fsck", &[&"-fn", &disk]);
}

fn a_frozen_file_system_keeps_its_writers_waiting(client: &GuestClient, path: &str) {
    let place = target(path);
    client.freeze(&place, Duration::from_secs(60)).unwrap();
    let stuck = format!("(echo x > {path}/later) & sleep 0.3; ls {path}");
    assert!(!told(client, &stuck).contains("later"));
    assert!(client.thaw(&place).unwrap());
    assert!(!client.thaw(&place).unwrap());
    let written = format!("until test -s {path}/later; do sleep 0.1; done");
    told(client, &written);
    // A host that never comes back keeps nobody waiting for ever.
    client.freeze(&place, Duration::from_secs(1)).unwrap();
    told(client, &format!("echo y > {path}/later"));
    let nowhere = client.freeze(&target("/tmp"), Duration::from_secs(1));
    assert_eq!(nowhere.unwrap_err().kind(), FaultKind::NotFound);
}

fn what_holds_anything_is_never_formatted(machine: &Machine, client: &GuestClient, folder: &Path) {
    let disk = image(folder, "precious.raw", 32);
    let mut bytes = fs::read(&disk).unwrap();
    bytes[1_500_000..1_500_008].copy_from_slice(b"precious");
    fs::write(&disk, &bytes).unwrap();
    let place = (2, 1);
    machine.add_disk(&disk, place, "VOL-P", false);
    let mut wanted = mount(place, "VOL-P", "/precious");
    wanted.format = true;
    let fault = client.mount_disk(&wanted).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::NotFound, "{fault}");
    assert!(fault.to_string().contains("not known here"), "{fault}");
    assert_eq!(shell(client, "ls -d /precious").code, Some(1));
    let_go(machine, client, place);
    assert!(fs::read(&disk).unwrap() == bytes);
}

fn a_formatting_that_was_cut_short_is_begun_again(
    machine: &Machine,
    client: &GuestClient,
    folder: &Path,
) {
    const MARK: &[u8] = b"cvol formats this disk: what is on it is not whole\n";
    let disk = image(folder, "half.raw", 32);
    // Some of the file system has come to the disk, and the guest was gone.
    tools::run("mke2fs", &[&"-q", &"-F", &"-t", &"ext4", &disk]);
    let mut bytes = fs::read(&disk).unwrap();
    bytes[8192..200_000].fill(0);
    let mark = bytes.len() - (1 << 20) - 4096;
    bytes[mark..mark + MARK.len()].copy_from_slice(MARK);
    fs::write(&disk, &bytes).unwrap();
    let place = (2, 3);
    machine.add_disk(&disk, place, "VOL-H", false);
    let mut wanted = mount(place, "VOL-H", "/half");
    let fault = client.mount_disk(&wanted).unwrap_err();
    assert!(fault.to_string().contains("never finished"), "{fault}");
    wanted.format = true;
    client.mount_disk(&wanted).unwrap();
    client.unmount(&target("/half"), Unmounting::Clean).unwrap();
    let_go(machine, client, place);
    tools::run("e2fsck", &[&"-fn", &disk]);
    assert!(
        !fs::read(&disk)
            .unwrap()
            .windows(MARK.len())
            .any(|bytes| bytes == MARK)
    );
}

fn a_disk_that_can_only_be_read_is_mounted_so_or_not_at_all(
    machine: &Machine,
    client: &GuestClient,
    folder: &Path,
) {
    let place = (2, 2);
    machine.add_disk(&folder.join("ntfs.raw"), place, "VOL-RO", true);
    let mut wanted = mount(place, "VOL-RO", "/ro");
    let fault = client.mount_disk(&wanted).unwrap_err();
    assert_eq!(fault.kind(), FaultKind::Denied, "{fault}");
    wanted.read_only = true;
    client.mount_disk(&wanted).unwrap();
    assert_eq!(told(client, "cat '/ro/a b'"), "from the guest\n");
    let written = shell(client, "echo x > /ro/x");
    assert!(written.errors.contains("Read-only"), "{written:?}");
    client.unmount(&target("/ro"), Unmounting::Clean).unwrap();
    let_go(machine, client, place);
}
