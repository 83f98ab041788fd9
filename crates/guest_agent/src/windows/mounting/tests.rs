//! What can be done without devices: letters that stand for folders, and what is refused.

use guest_proto::Secret;

use super::*;

struct Desk {
    folder: tempfile::TempDir,
    book: Book,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(&folder.path().join("book.json"));
        Self { folder, book }
    }

    /// A letter that nobody uses; tests of one process ask from different ends.
    fn letter(&self, mut letters: impl Iterator<Item = char>) -> String {
        let free = letters.find(|letter| calls::letter(&format!("{letter}:")).is_none());
        format!("{}:", free.unwrap())
    }

    fn share(&self, target: &str) -> MountShare {
        MountShare {
            transport: ShareTransport::VirtualSmb {
                unc: self.folder.path().to_str().unwrap().to_owned(),
            },
            only_file: None,
            target: target.to_owned(),
            read_only: false,
            wait_seconds: 0,
        }
    }
}

fn unmount_of(target: &str) -> Unmount {
    Unmount {
        target: target.to_owned(),
        lazy: false,
    }
}

#[test]
fn a_letter_leads_to_a_share_until_it_is_unmounted() {
    let desk = Desk::new();
    let letter = desk.letter("RSTUVW".chars());
    let share = desk.share(&letter);
    assert!(!mount_share(&desk.book, &share).unwrap().was_there);
    assert!(mount_share(&desk.book, &share).unwrap().was_there);
    // What the system says of it; Wine opens nothing through letters that are defined at run time.
    let name = desk.folder.path().file_name().unwrap();
    let leads_to = calls::letter(&letter).unwrap();
    assert!(leads_to.ends_with(name.to_str().unwrap()), "{leads_to}");
    assert!(is_there(&desk.book.find(&letter).unwrap()));
    let (total, free) = calls::space("C:\\").unwrap();
    assert!(total > 0 && free <= total);
    let mut other = desk.share(&letter);
    other.read_only = true;
    let taken = mount_share(&desk.book, &other).unwrap_err();
    assert_eq!(taken.kind, ErrorKind::AlreadyExists);
    for _ in 0..2 {
        unmount(&desk.book, &unmount_of(&letter)).unwrap();
        assert_eq!(calls::letter(&letter), None);
    }
    assert_eq!(desk.book.all(), []);
}

#[test]
fn what_others_mounted_is_let_be() {
    let desk = Desk::new();
    // The drive of the system is there, and not ours.
    let taken = mount_share(&desk.book, &desk.share("C:")).unwrap_err();
    assert_eq!(taken.kind, ErrorKind::AlreadyExists);
    let foreign = unmount(&desk.book, &unmount_of("C:")).unwrap_err();
    assert_eq!(foreign.kind, ErrorKind::Denied);
    let letter = desk.letter("LMNOPQ".chars());
    unmount(&desk.book, &unmount_of(&letter)).unwrap();
}

#[test]
fn disks_that_are_not_there_are_not_found_and_folders_made_for_them_go() {
    let desk = Desk::new();
    let target = desk.folder.path().join("a").join("b");
    let wanted = MountDisk {
        controller: 0,
        lun: 63,
        serial: "VOL-1".to_owned(),
        target: target.to_str().unwrap().to_owned(),
        file_system: None,
        format: false,
        read_only: false,
        wait_seconds: 0,
    };
    let refusal = mount_disk(&desk.book, &wanted).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::NotFound, "{refusal}");
    assert!(!desk.folder.path().join("a").exists());
    let second = MountDisk {
        controller: 1,
        ..wanted
    };
    let refusal = mount_disk(&desk.book, &second).unwrap_err();
    assert_eq!(refusal.kind, ErrorKind::Unsupported);
}

#[test]
fn shares_of_servers_that_windows_cannot_mount_as_asked_are_refused() {
    let desk = Desk::new();
    let smb = |user: &str, port, read_only, path: &str| MountSmb {
        server: "srv".to_owned(),
        port,
        share: "data".to_owned(),
        path: path.to_owned(),
        user: user.to_owned(),
        domain: None,
        password: Secret::new("x"),
        target: "Y:".to_owned(),
        read_only,
        require_encryption: true,
    };
    for (wanted, kind) in [
        (smb("u", Some(1445), false, ""), ErrorKind::Unsupported),
        (smb("u", None, true, ""), ErrorKind::Unsupported),
        (smb("Guest", None, false, ""), ErrorKind::Denied),
        (smb("u", None, false, "a/../b"), ErrorKind::Invalid),
    ] {
        let refusal = mount_smb(&desk.book, &wanted).unwrap_err();
        assert_eq!(refusal.kind, kind, "{refusal}");
    }
}
