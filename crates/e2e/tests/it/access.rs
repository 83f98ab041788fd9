//! Access control: descriptors that Windows stored, read by ours; those that we store, read by
//! ntfs-3g.

use std::collections::BTreeSet;
use std::io::Cursor;

use mkfs::SecurityDescriptor;
use ntfs::{Ntfs, NtfsAttributeType, NtfsReadSeek};

use crate::command::Cvol;
use crate::ntfs_whole::{tools_are_here, xattr};
use crate::{corpus, ntfs as judges, tools};

/// Bytes of the head of an entry of `$SDS`.
const ENTRY_HEAD: usize = 20;

/// The partition of an image of the corpus that Windows partitioned by an MBR.
fn windows_partition(cvol: &Cvol, image: &std::path::Path) -> Cursor<Vec<u8>> {
    let raw = cvol.work().join("whole.raw");
    let (from, to) = (image.to_str().unwrap(), raw.to_str().unwrap());
    cvol.ok(&["convert", from, to, "-O", "raw"]);
    let bytes = std::fs::read(&raw).unwrap();
    std::fs::remove_file(&raw).unwrap();
    let start = u32::from_le_bytes(bytes[0x1C6..0x1CA].try_into().unwrap());
    Cursor::new(bytes[512 * usize::try_from(start).unwrap()..].to_vec())
}

/// The value of an attribute of a record.
fn value(disk: &mut Cursor<Vec<u8>>, record: u64, kind: NtfsAttributeType, name: &str) -> Vec<u8> {
    let ntfs = Ntfs::new(disk).unwrap();
    let file = ntfs.file(disk, record).unwrap();
    let mut attributes = file.attributes();
    while let Some(item) = attributes.next(disk) {
        let item = item.unwrap();
        let attribute = item.to_attribute().unwrap();
        if attribute.ty().unwrap() == kind && attribute.name().unwrap() == *name {
            let mut value = attribute.value(disk).unwrap();
            let mut bytes = vec![0; usize::try_from(value.len()).unwrap()];
            value.read_exact(disk, &mut bytes).unwrap();
            return bytes;
        }
    }
    panic!("record {record} has no attribute {kind:?} {name:?}");
}

/// Every descriptor in the first block of a `$SDS`.
fn stored(sds: &[u8]) -> Vec<Vec<u8>> {
    let word = |at: usize| u32::from_le_bytes(sds[at..at + 4].try_into().unwrap());
    let mut found = Vec::new();
    let mut at = 0;
    while at + ENTRY_HEAD < sds.len().min(0x4_0000) && word(at + 16) != 0 {
        let length = usize::try_from(word(at + 16)).unwrap();
        found.push(sds[at + ENTRY_HEAD..at + length].to_vec());
        at = (at + length).next_multiple_of(16);
    }
    found
}

#[test]
fn descriptors_that_windows_stored_read_print_and_come_back_byte_for_byte() {
    let Some(folder) = tools::corpus() else {
        return;
    };
    let cvol = Cvol::new();
    let mut texts = BTreeSet::new();
    for file in [
        "dfvfs/ntfs-parent.vhdx",
        "dfvfs/ntfs-parent.vhd",
        "dfvfs/ntfs-dynamic.vhdx",
        "dfvfs/ntfs-fixed.vhd",
        "dissect-hypervisor/fixed.vhdx",
    ] {
        let image = corpus::unpack(&folder, file, cvol.work());
        let mut disk = windows_partition(&cvol, &image);
        let mut all = stored(&value(&mut disk, 9, NtfsAttributeType::Data, "$SDS"));
        assert!(all.len() >= 3, "{file}: {}", all.len());
        all.push(value(
            &mut disk,
            5,
            NtfsAttributeType::SecurityDescriptor,
            "",
        ));
        for bytes in all {
            let descriptor = SecurityDescriptor::from_bytes(&bytes).unwrap();
            let parts = descriptor.parts().unwrap();
            // Windows lays descriptors out as we do.
            assert_eq!(
                SecurityDescriptor::from_parts(&parts).unwrap().as_bytes(),
                bytes
            );
            let text = descriptor.to_sddl().unwrap();
            assert_eq!(SecurityDescriptor::from_sddl(&text), Ok(descriptor));
            println!("{file}: {text}");
            texts.insert(text);
        }
    }
    for expected in [
        "O:SYG:BAD:(A;;FR;;;SY)(A;;FR;;;BA)",
        "O:SYG:BAD:(A;;0x12019f;;;SY)(A;;0x12019f;;;BA)",
        "O:BAG:SYD:(A;;FA;;;SY)(A;;FR;;;BA)",
        "O:BAG:SYD:P(A;OICI;FA;;;SY)",
        mkfs::security::windows_root()
            .unwrap()
            .to_sddl()
            .unwrap()
            .as_str(),
    ] {
        assert!(
            texts.contains(expected),
            "{expected} is not among {texts:#?}"
        );
    }
}

/// The descriptor of a path as ntfs-3g reads it from the disk.
fn judged(mount: &judges::Mount, path: &str) -> Vec<u8> {
    xattr(
        &mount.path().join(path.trim_start_matches('/')),
        "system.ntfs_acl",
    )
}

fn made_of(text: &str) -> Vec<u8> {
    SecurityDescriptor::from_sddl(text)
        .unwrap()
        .as_bytes()
        .to_vec()
}

#[test]
fn a_volume_made_with_access_control_carries_it_byte_for_byte() {
    if !tools_are_here() {
        return;
    }
    let cvol = Cvol::new();
    let source = cvol.work().join("source");
    for folder in ["logs/old", "bin"] {
        std::fs::create_dir_all(source.join(folder)).unwrap();
    }
    for file in ["logs/a.txt", "logs/old/b.txt", "bin/run.exe", "readme"] {
        std::fs::write(source.join(file), file).unwrap();
    }
    std::os::unix::fs::symlink("readme", source.join("link")).unwrap();
    let rules = cvol.work().join("rules.txt");
    std::fs::write(
        &rules,
        "# who may what\n\
         /logs          D:P(A;OICI;FA;;;SY)(A;OICIIO;GA;;;CO)\n\
         \"/**/*.EXE\"  O:SYD:(A;;FX;;;S-1-5-93-2-2)\n\
         /logs/old/**   administrators\n",
    )
    .unwrap();
    cvol.ok(&[
        "create",
        "data",
        "--size",
        "64M",
        "--from",
        source.to_str().unwrap(),
        "--acl",
        "container-users",
        "--acl-file",
        rules.to_str().unwrap(),
    ]);
    let root = "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;S-1-5-93-2-1)\
                (A;OICI;0x1301bf;;;S-1-5-93-2-2)(A;OICI;0x1200a9;;;BU)";
    let below = "(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;S-1-5-93-2-1)\
                 (A;ID;0x1301bf;;;S-1-5-93-2-2)(A;ID;0x1200a9;;;BU)";
    let file = format!("O:BAG:SYD:AI{below}");
    let folder = file.replace(";ID;", ";OICIID;");
    let program = format!("O:SYG:SYD:AI(A;;FX;;;S-1-5-93-2-2){below}");
    let cases = [
        ("/", root),
        ("/bin", &folder),
        ("/readme", &file),
        ("/link", &file),
        ("/bin/run.exe", &program),
        ("/logs", "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICIIO;GA;;;CO)"),
        ("/logs/a.txt", "O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)"),
        ("/logs/old", "O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"),
        ("/logs/old/b.txt", "O:BAG:SYD:PAI(A;;FA;;;SY)(A;;FA;;;BA)"),
    ];
    let partition = judges::partition(&cvol, "data");
    judges::validate(&partition);
    let mount = judges::Mount::with(&partition, "ro,streams_interface=none");
    for (path, expected) in cases {
        assert_eq!(
            judged(&mount, path),
            made_of(expected),
            "{path}: {expected}"
        );
        let shown = cvol.ok(&["acl", "-q", &format!("data:{path}")]);
        assert_eq!(shown.trim_end(), expected, "{path}");
    }
    let shown = cvol.ok(&["inspect", "data"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["acl"], root);
}

#[test]
fn an_empty_volume_takes_a_descriptor_for_its_root() {
    if !tools_are_here() {
        return;
    }
    let cvol = Cvol::new();
    let text = "O:BAG:BAD:(A;OICI;FA;;;BA)S:(AU;OICISA;FA;;;WD)";
    cvol.ok(&["create", "data", "--size", "64M", "--acl", text]);
    let partition = judges::partition(&cvol, "data");
    judges::validate(&partition);
    let mount = judges::Mount::with(&partition, "ro,streams_interface=none");
    assert_eq!(judged(&mount, "/"), made_of(text));
    let shown = cvol.ok(&["acl", "data"]);
    assert_eq!(shown, format!("owner  BA\ngroup  BA\nsddl   {text}\n"));
}

#[test]
fn access_control_that_cannot_be_kept_or_read_is_refused_with_its_place() {
    let cvol = Cvol::new();
    let rules = cvol.work().join("rules.txt");
    std::fs::write(&rules, "/a administrators\n/b D:(XA;;FX;;;WD;(x))\n").unwrap();
    let rules = rules.to_str().unwrap();
    let cases: [(i32, &[&str], &str); 6] = [
        (2, &["--acl", "D:(A;;QQ;;;BA)"], "character 7"),
        (7, &["--acl", "D:(A;;FA;;;DA)"], "S-1-5-21-...-512"),
        (2, &["--acl", "admins"], "administrators"),
        (2, &["--fs", "fat32", "--acl", "administrators"], "FAT32"),
        (7, &["--acl-file", rules], "line 2, column 7"),
        (3, &["--acl-file", "nowhere.txt"], "nowhere.txt"),
    ];
    for (code, arguments, expected) in cases {
        let mut all = vec!["create", "data", "--size", "64M"];
        all.extend(arguments);
        let error = cvol.fails(code, &all);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    std::fs::write(rules, "/a administrators\n").unwrap();
    let error = cvol.fails(
        2,
        &[
            "create",
            "data",
            "--size",
            "64M",
            "--fs",
            "fat32",
            "--acl-file",
            rules,
        ],
    );
    assert!(error.contains("NTFS"), "{error}");
    cvol.ok(&["create", "fat", "--size", "64M", "--fs", "fat32"]);
    let error = cvol.fails(7, &["acl", "fat:/"]);
    assert!(error.contains("access control"), "{error}");
}

#[test]
fn files_that_are_copied_in_get_what_rules_say_for_their_path_in_the_volume() {
    let cvol = Cvol::new();
    let source = cvol.work().join("app");
    std::fs::create_dir_all(source.join("bin")).unwrap();
    for name in ["bin/run.exe", "bin/run.cfg", "readme.txt"] {
        std::fs::write(source.join(name), name).unwrap();
    }
    let source = source.to_str().unwrap();
    let rules = cvol.work().join("rules.txt");
    let text = "/srv/app administrators\n/srv/**/*.exe D:(A;;FX;;;WD)\n/app/** everyone-read\n";
    std::fs::write(&rules, text).unwrap();
    let rules = rules.to_str().unwrap();
    cvol.ok(&["create", "data", "--size", "64M"]);
    cvol.ok(&["mkdir", "data:/srv"]);
    cvol.ok(&["cp", source, "data:/srv/app"]);
    let shown = |path: &str| cvol.ok(&["acl", "-q", &format!("data:{path}")]);
    let before = [
        "/srv",
        "/srv/app",
        "/srv/app/bin/run.exe",
        "/srv/app/readme.txt",
    ]
    .map(shown);
    assert!(
        before.iter().all(|text| text.contains(";;;AU)")),
        "{before:?}"
    );
    // What is there is told too, once a rule matches it; what is new inherits from what was told.
    cvol.ok(&["cp", "--acl-file", rules, source, "data:/srv/app"]);
    std::fs::remove_dir_all(cvol.work().join("app/bin")).unwrap();
    cvol.ok(&["rm", "-r", "data:/srv/app/app"]);
    cvol.ok(&[
        "cp",
        "--acl-file",
        rules,
        &format!("{source}/."),
        "data:/srv/app",
    ]);
    assert_eq!(shown("/srv"), before[0]);
    let everyone_may = "(A;;FX;;;WD)";
    assert!(!shown("/srv/app/bin/run.exe").contains(everyone_may));
    cvol.ok(&["rm", "-r", "data:/srv/app"]);
    std::fs::create_dir_all(cvol.work().join("app/bin")).unwrap();
    std::fs::write(cvol.work().join("app/bin/run.exe"), "x").unwrap();
    cvol.ok(&["cp", "--acl-file", rules, source, "data:/srv/app"]);
    let folder = shown("/srv/app");
    assert!(folder.contains("PAI") && !folder.contains("AU"), "{folder}");
    let inherited = shown("/srv/app/readme.txt");
    assert!(
        inherited.contains("ID") && !inherited.contains("AU"),
        "{inherited}"
    );
    let program = shown("/srv/app/bin/run.exe");
    assert!(
        program.contains(everyone_may) && program.contains("ID"),
        "{program}"
    );
    // A file that is replaced is told as well.
    cvol.ok(&[
        "acl",
        "data:/srv/app/bin/run.exe",
        "--set",
        "D:P(A;;FA;;;SY)",
    ]);
    cvol.ok(&["cp", source, "data:/srv"]);
    assert!(!shown("/srv/app/bin/run.exe").contains(everyone_may));
    cvol.ok(&["cp", "--acl-file", rules, source, "data:/srv"]);
    assert_eq!(shown("/srv/app/bin/run.exe"), program);
    cvol.ok(&["fsck", "data"]);

    cvol.ok(&["create", "fat", "--size", "64M", "--fs", "fat32"]);
    let error = cvol.fails(7, &["cp", "--acl-file", rules, source, "fat:/"]);
    assert!(error.contains("access control on FAT"), "{error}");
    let out = cvol.work().join("out");
    let out = out.to_str().unwrap();
    let error = cvol.fails(2, &["cp", "--acl-file", rules, "data:/srv", out]);
    assert!(error.contains("--acl-file"), "{error}");
}
