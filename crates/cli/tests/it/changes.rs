//! Volumes and images changed at rest: cp into them, rm, mkdir, mv, attrib, acl, label.

use crate::{Scratch, names_in};

fn with_volume(file_system: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("source/readme.txt", b"hello\n");
    scratch.write("source/img/a.bin", &[7; 70_000]);
    scratch.ok(&["create", "data", "--size", "64M", "--fs", file_system]);
    scratch
}

fn check_changes(file_system: &str) {
    let scratch = with_volume(file_system);
    let copied = scratch.json(&["cp", "-r", "source", "data:/"]);
    assert_eq!(
        (&copied["files"], &copied["bytes"]),
        (&2.into(), &70_006.into())
    );
    scratch.ok(&["cp", "source/readme.txt", "data:/again.txt"]);
    scratch.ok(&["cp", "source/.", "data:/"]);
    assert_eq!(
        scratch.ok(&["ls", "data"]).lines(),
        ["again.txt", "img", "readme.txt", "source"]
    );
    assert_eq!(
        scratch.ok(&["cat", "data:/source/readme.txt"]).stdout,
        "hello\n"
    );

    // A file that exists is replaced; two sources need a folder.
    scratch.write("new", b"new\n");
    scratch.ok(&["cp", "new", "data:/again.txt"]);
    assert_eq!(scratch.ok(&["cat", "data:/AGAIN.txt"]).stdout, "new\n");
    assert_eq!(
        scratch.run(&["cp", "new", "new", "data:/again.txt"]).code,
        2
    );
    assert_eq!(scratch.run(&["cp", "new", "data:/nowhere/x"]).code, 3);
    assert_eq!(scratch.run(&["cp", "missing", "data:/"]).code, 3);
    assert_eq!(scratch.run(&["cp", "data:/again.txt", "data:/x"]).code, 7);

    assert_eq!(scratch.run(&["mkdir", "data:/a/b/c"]).code, 3);
    scratch.ok(&["mkdir", "-p", "data:/a/b/c"]);
    assert_eq!(scratch.run(&["mkdir", "data:/a/b"]).code, 4);
    assert_eq!(scratch.run(&["mkdir", "data:/a?b"]).code, 2);
    scratch.ok(&["mv", "data:/again.txt", "data:/a/b"]);
    scratch.ok(&["mv", "data:/a/b/again.txt", "data:/a/b/Again.TXT"]);
    assert_eq!(scratch.ok(&["ls", "data:/a/b"]).lines(), ["Again.TXT", "c"]);
    assert_eq!(scratch.run(&["mv", "data:/a", "data:/a/b/c"]).code, 2);
    assert_eq!(
        scratch
            .run(&["mv", "data:/readme.txt", "data:/a/b/again.txt"])
            .code,
        4
    );
    scratch.ok(&["mv", "--force", "data:/readme.txt", "data:/a/b/again.txt"]);

    scratch.ok(&["attrib", "data:/a/b/again.txt", "+rh", "-a"]);
    assert_eq!(scratch.run(&["attrib", "data:/a", "+q"]).code, 2);
    scratch.ok(&["label", "data", "NEWLABEL"]);
    assert_eq!(scratch.ok(&["label", "data"]).stdout, "NEWLABEL\n");

    assert_eq!(scratch.run(&["rm", "data:/a"]).code, 2);
    assert_eq!(scratch.run(&["rm", "-r", "data:/"]).code, 2);
    assert_eq!(scratch.run(&["rm", "data:/nothing"]).code, 3);
    scratch.ok(&["rm", "--force", "data:/nothing"]);
    let removed = scratch.json(&["rm", "-r", "data:/a", "data:/source"]);
    assert_eq!(
        removed["removed"],
        serde_json::json!(["data:/a", "data:/source"])
    );
    assert_eq!(scratch.ok(&["ls", "data"]).lines(), ["img"]);
    // Nothing is left beside the image.
    let folder = scratch.path("store/volumes");
    let volume = folder.join(&names_in(&folder)[0]);
    assert_eq!(names_in(&volume), ["image.vhdx", "volume.json"]);
}

#[test]
fn an_ntfs_volume_is_changed_at_rest() {
    check_changes("ntfs");
}

#[test]
fn a_fat32_volume_is_changed_at_rest() {
    check_changes("fat32");
}

#[test]
fn an_image_is_changed_where_its_path_stands_before_the_colon() {
    let scratch = with_volume("ntfs");
    scratch.ok(&["convert", "data", "./disk.vhd"]);
    scratch.ok(&["cp", "source/readme.txt", "./disk.vhd:/"]);
    scratch.ok(&["mkdir", "disk.vhd:/new"]);
    assert_eq!(
        scratch.ok(&["ls", "disk.vhd:/"]).lines(),
        ["new", "readme.txt"]
    );
    assert_eq!(scratch.ok(&["ls", "data"]).lines(), Vec::<&str>::new());
    assert_eq!(
        names_in(&scratch.path(".")),
        ["disk.vhd", "source", "store"]
    );
}

#[test]
fn access_control_is_replaced_and_the_owner_stays() {
    let scratch = with_volume("ntfs");
    scratch.ok(&["cp", "source/.", "data:/"]);
    let before = scratch.json(&["acl", "data:/img"]);
    let set = ["acl", "data:/img", "--set", "D:(A;OICI;FA;;;WD)"];
    let after = scratch.json(&set);
    assert_eq!(after["owner"], before["owner"]);
    assert!(
        after["sddl"]
            .as_str()
            .unwrap()
            .ends_with("D:(A;OICI;FA;;;WD)"),
        "{after}"
    );
    // What is made there from now on inherits it.
    scratch.ok(&["cp", "source/readme.txt", "data:/img"]);
    let file = scratch.json(&["acl", "data:/img/readme.txt"]);
    assert!(
        file["sddl"].as_str().unwrap().ends_with("D:(A;;FA;;;WD)"),
        "{file}"
    );
    assert_eq!(
        scratch.run(&["acl", "data:/img", "--set", "nonsense"]).code,
        2
    );
    let fat = with_volume("fat32");
    assert_eq!(
        fat.run(&["acl", "data:/", "--set", "everyone-read"]).code,
        7
    );
}

#[test]
fn what_does_not_fit_leaves_the_volume_as_it_was() {
    let scratch = with_volume("ntfs");
    scratch.ok(&["cp", "source/.", "data:/"]);
    scratch.write("large/first", b"x");
    scratch.write("large/second", &vec![1; 70 << 20]);
    let error = scratch.json_error(&["cp", "large", "data:/"], 8);
    assert_eq!(error["error"]["kind"], "no_space");
    assert_eq!(scratch.ok(&["ls", "data"]).lines(), ["img", "readme.txt"]);
    scratch.ok(&["rm", "-r", "data:/img"]);
}

/// The second name of a file was left out of a FAT32 volume, and its data with it.
#[test]
fn names_of_one_file_are_files_of_their_own_where_there_are_no_hard_links() {
    let scratch = Scratch::new();
    scratch.write("tree/one.txt", b"one file");
    for name in ["tree/two.txt", "tree/sub/three.txt"] {
        let name = scratch.path(name);
        std::fs::create_dir_all(name.parent().unwrap()).unwrap();
        std::fs::hard_link(scratch.path("tree/one.txt"), name).unwrap();
    }
    scratch.ok(&[
        "create", "data", "--size", "64M", "--fs", "fat32", "--from", "tree",
    ]);
    scratch.ok(&["cp", "tree", "data:/again"]);
    for folder in ["", "/again"] {
        for name in ["one.txt", "two.txt", "sub/three.txt"] {
            let path = format!("data:{folder}/{name}");
            assert_eq!(scratch.ok(&["cat", &path]).stdout, "one file", "{path}");
        }
    }
    scratch.ok(&["fsck", "data"]);
}
