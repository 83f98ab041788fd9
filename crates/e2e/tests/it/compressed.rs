//! Files that ntfs-3g compressed, read by cvol.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::command::Cvol;
use crate::ntfs::{Mount, differences};
use crate::ntfs_whole::xattr;
use crate::random::Random;
use crate::tools;

/// FILE_ATTRIBUTE_COMPRESSED ([MS-FSCC] 2.6).
const COMPRESSED: u32 = 0x800;

/// Files of every kind that compression knows: units that shrink, that do not, that are holes, and
/// those at the end; large ones in many units.
fn write_files(folder: &Path) {
    let mut random = Random(21);
    let text = "the quick brown fox jumps over the lazy dog, again and again\n".repeat(9000);
    let mut mixed = Vec::new();
    for part in 0..40_usize {
        match part % 4 {
            0 => mixed.extend(random.bytes(70_000)),
            1 => mixed.extend(vec![0; 65_536]),
            2 => mixed.extend(&text.as_bytes()[..50_000 + part]),
            _ => mixed.extend(vec![b'x'; 4096]),
        }
    }
    let files: [(&str, &[u8]); 8] = [
        ("empty", b""),
        ("short", b"in the record"),
        ("text", text.as_bytes()),
        ("one unit", &text.as_bytes()[..65_536]),
        ("a unit and a byte", &text.as_bytes()[..65_537]),
        ("random", &random.bytes(200_001)),
        ("zeros", &vec![0; 300_000]),
        ("mixed", &mixed),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    let mut sparse = fs::File::create(folder.join("sparse")).unwrap();
    for at in [0, 1 << 20, 5 << 20] {
        sparse.seek(SeekFrom::Start(at)).unwrap();
        sparse.write_all(&text.as_bytes()[..100_000]).unwrap();
    }
}

#[test]
fn what_ntfs_3g_compressed_is_read_copied_and_exported() {
    if !tools::needs(&[
        "mkntfs", "ntfs-3g", "setfattr", "getfattr", "tar", "diff", "umount",
    ]) {
        return;
    }
    let cvol = Cvol::new();
    let plain = cvol.work().join("plain");
    fs::create_dir(&plain).unwrap();
    write_files(&plain);
    for cluster in ["512", "4096"] {
        let image = cvol.work().join(format!("{cluster}.raw"));
        let path = image.to_str().unwrap();
        fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        tools::run("mkntfs", &[&"-Q", &"-F", &"-q", &"-c", &cluster, &image]);
        {
            let mount = Mount::with(&image, "rw,compression,streams_interface=xattr");
            let folder = mount.path().join("packed");
            fs::create_dir(&folder).unwrap();
            // What is made in a compressed folder is compressed.
            let name = "system.ntfs_attrib";
            tools::run("setfattr", &[&"-n", &name, &"-v", &"0x10080000", &folder]);
            write_files(&folder);
            for name in ["text", "mixed", "sparse", "zeros"] {
                let bits = xattr(&folder.join(name), "system.ntfs_attrib");
                let bits = u32::from_le_bytes(bits[..4].try_into().unwrap());
                assert_eq!(bits & COMPRESSED, COMPRESSED, "{name}");
            }
        }
        let out = cvol.work().join(format!("out-{cluster}"));
        cvol.ok(&["cp", &format!("{path}:/packed"), out.to_str().unwrap()]);
        assert_eq!(differences(&plain, &out), [""; 0]);
        let shown = cvol.output(&["cat", &format!("{path}:/packed/mixed")]);
        assert!(shown.stdout == fs::read(plain.join("mixed")).unwrap());
        let archive = cvol.work().join(format!("{cluster}.tar"));
        let archive = archive.to_str().unwrap();
        cvol.ok(&["export", path, "-o", archive]);
        let unpacked = tempfile::tempdir().unwrap();
        let quiet = "--warning=no-unknown-keyword";
        tools::run(
            "tar",
            &[&"-x", &quiet, &"-f", &archive, &"-C", &unpacked.path()],
        );
        let difference = differences(&plain, &unpacked.path().join("packed"));
        assert_eq!(difference, [""; 0]);
        // Made of it again, the files are plain, and the command says so.
        let name = format!("again{cluster}");
        let output = cvol.output(&["create", &name, "--size", "64M", "--from", archive]);
        let listed = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && listed.contains("packed/text"),
            "{listed}"
        );
        let back = cvol.work().join(format!("back-{cluster}"));
        cvol.ok(&["cp", &format!("{name}:/packed"), back.to_str().unwrap()]);
        assert_eq!(differences(&plain, &back), [""; 0]);
    }
}
