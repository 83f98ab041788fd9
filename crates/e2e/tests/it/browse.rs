//! NTFS and FAT volumes made by Windows, copied out by the command and extracted by 7-Zip.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::command::Cvol;
use crate::corpus::unpack;
use crate::tools;

/// Images of the corpus whose file system can be read, with files that each must show.
const IMAGES: [(&str, &[&str]); 12] = [
    ("dfvfs/fat-parent.vhd", &SETTINGS),
    ("dfvfs/fat-parent.vhdx", &SETTINGS),
    ("dfvfs/ntfs-dynamic.vhd", &FILLED),
    ("dfvfs/ntfs-dynamic.vhdx", &FILLED),
    ("dfvfs/ntfs-fixed.vhd", &FILLED),
    ("dfvfs/ntfs-fixed.vhdx", &FILLED),
    ("dfvfs/ntfs-parent.vhd", &SETTINGS),
    ("dfvfs/ntfs-parent.vhdx", &SETTINGS),
    ("dissect-hypervisor/dynamic.vhd", &[]),
    ("dissect-hypervisor/dynamic.vhdx", &[]),
    ("dissect-hypervisor/fixed.vhd", &[]),
    ("dissect-hypervisor/fixed.vhdx", &[]),
];
const SETTINGS: [&str; 1] = ["System Volume Information/WPSettings.dat"];
const FILLED: [&str; 4] = [
    "System Volume Information/WPSettings.dat",
    "a_directory/a_file",
    "a_directory/another_file",
    "passwords.txt",
];
/// Where the one partition of each of them begins, by its master boot record.
const PARTITION_AT: usize = 128 * 512;
/// The folder into which 7-Zip puts the files of NTFS itself.
const SYSTEM: &str = "[SYSTEM]";

/// The content of every file below `folder` by its path; links are left out.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            let path = entry.path();
            if kind.is_dir() && entry.file_name() != SYSTEM {
                folders.push(path);
            } else if kind.is_file() {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn volumes_made_by_windows_give_the_files_that_7zip_finds() {
    // None of them could be opened: their disks have a master boot record, not a GUID table.
    let Some(corpus) = tools::corpus() else {
        return;
    };
    if !tools::needs(&["7z"]) {
        return;
    }
    for (file, expected) in IMAGES {
        let cvol = Cvol::new();
        let image = unpack(&corpus, file, cvol.work());
        let image_path = image.to_str().unwrap();
        let digest = tools::sha256(&image);
        let ours = cvol.work().join("ours");
        cvol.ok(&["cp", "--image", image_path, "/", ours.to_str().unwrap()]);

        let raw = cvol.work().join("disk.raw");
        cvol.ok(&["convert", image_path, raw.to_str().unwrap()]);
        let partition = cvol.work().join("partition");
        fs::write(&partition, &fs::read(&raw).unwrap()[PARTITION_AT..]).unwrap();
        let theirs = cvol.work().join("theirs");
        let target = format!("-o{}", theirs.to_str().unwrap());
        tools::run("7z", &[&"x", &"-y", &target, &partition]);

        let ours = contents(&ours);
        assert!(ours == contents(&theirs), "{file}: {:?}", ours.keys());
        assert_eq!(ours.keys().collect::<Vec<_>>(), expected, "{file}");
        for (path, content) in &ours {
            let mut cat = cvol.command(&["cat", "--image", image_path, path]);
            assert_eq!(&cat.output().unwrap().stdout, content, "{file}: {path}");
        }
        assert_eq!(tools::sha256(&image), digest, "{file} was changed");
    }
}

#[test]
fn a_link_made_by_windows_is_shown_with_its_target_and_not_followed() {
    let Some(corpus) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    let image = unpack(&corpus, "dfvfs/ntfs-fixed.vhdx", cvol.work());
    let image = image.to_str().unwrap();
    let tree = cvol.ok(&["tree", "--image", image]);
    assert!(
        tree.contains(r"a_link -> x:\a_directory\another_file"),
        "{tree}"
    );
    let error = cvol.fails(2, &["cat", "--image", image, "/a_link"]);
    assert!(error.contains("link"), "{error}");
}
