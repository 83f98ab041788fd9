//! One host for several programs, and files as they are.

use std::path::Path;

use attach::hcs::ComputeCore;
use blockio::{ByteCount, FileAccess, FileStorage};
use computecore::{Double, Guest, HostModel, MachineModel, Setting};
use serde_json::json;
use vdisk::{ChildOptions, CreateOptions, ImageFormat, OpenedParent, ParentNames};

use super::{ID, OTHER, Open, at, disk};

fn kept_in(file: &Path) -> Double {
    Double::with(Setting {
        shared_host: Some(file.to_owned()),
        ..Setting::default()
    })
}

fn write(file: &Path, host: &HostModel) {
    std::fs::write(file, serde_json::to_vec(host).unwrap()).unwrap();
}

fn read(file: &Path) -> HostModel {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn image(path: &Path) {
    let storage = FileStorage::create_new(path).unwrap();
    let options = CreateOptions::new(ByteCount(32 << 20));
    vdisk::create(Box::new(storage), ImageFormat::Vhdx, &options).unwrap();
}

/// `child.avhdx`, which stands on `base.vhdx`.
fn child_of_base(folder: &Path) {
    let parent = folder.join("base.vhdx");
    let storage = FileStorage::open(&parent, FileAccess::ReadOnly).unwrap();
    let parent = OpenedParent {
        storage: Box::new(storage),
        name: "base.vhdx".to_owned(),
        gate: Box::new(vdisk::DenyAll),
    };
    let options = ChildOptions {
        size: None,
        block_size: None,
        names: ParentNames {
            relative: Some(".\\base.vhdx".to_owned()),
            ..ParentNames::default()
        },
        ids: vdisk::IdSource::Random,
        unix_time: 0,
    };
    let child = FileStorage::create_new(&folder.join("child.avhdx")).unwrap();
    vdisk::create_child(Box::new(child), ImageFormat::Vhdx, &options, parent).unwrap();
}

#[test]
fn two_libraries_on_one_file_find_the_same_host_and_neither_loses_what_the_other_did() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.json");
    let machines = [ID, OTHER].map(|id| (id.to_owned(), MachineModel::running(Guest::Linux)));
    write(
        &file,
        &HostModel {
            machines: machines.into(),
            ..HostModel::default()
        },
    );
    let names: Vec<String> = (0..4)
        .map(|number| {
            folder
                .path()
                .join(format!("{number}.vhdx"))
                .display()
                .to_string()
        })
        .collect();
    for name in &names {
        image(Path::new(name));
    }
    let (first, second) = (kept_in(&file), kept_in(&file));
    std::thread::scope(|scope| {
        for (double, names) in [(&first, &names[..2]), (&second, &names[2..])] {
            scope.spawn(move || {
                for _ in 0..25 {
                    for name in names {
                        assert!(double.grant_vm_access(ID, name).is_success());
                    }
                    assert!(double.revoke_vm_access(ID, &names[0]).is_success());
                    assert!(double.grant_vm_access(ID, &names[0]).is_success());
                }
            });
        }
    });
    assert_eq!(read(&file).files_open_to(ID).len(), 4);
    let (first, second) = (Open::on(first), Open::on(second));
    assert_eq!(first.modify(&at("0", "Add", &disk(&names[0], false))), 0);
    assert_eq!(
        second.modify(&at("0", "Add", &disk(&names[1], false))),
        0x8007_00B7
    );
    assert_eq!(second.modify(&at("0", "Remove", &json!(null))), 0);
    assert!(read(&file).machines[ID].disks.is_empty());
}

#[test]
fn images_are_looked_at_and_one_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at_path = |name: &str| folder.path().join(name).display().to_string();
    image(Path::new(&at_path("base.vhdx")));
    let head = std::fs::read(at_path("base.vhdx")).unwrap();
    std::fs::write(at_path("text.vhdx"), "no image at all").unwrap();
    // The first bytes alone make no VHDX.
    std::fs::write(at_path("head.vhdx"), &head[..64 << 10]).unwrap();
    child_of_base(folder.path());
    let open = Open::new(HostModel {
        machines: [(ID.to_owned(), MachineModel::running(Guest::Linux))].into(),
        ..HostModel::default()
    });
    let grant = |name: &str| {
        let granted = open.double.grant_vm_access(ID, &at_path(name));
        assert!(granted.is_success(), "{name}");
    };
    let add = |name: &str| open.modify(&at("0", "Add", &disk(&at_path(name), false)));
    for name in ["text.vhdx", "head.vhdx"] {
        grant(name);
        assert_eq!(add(name), 0x8007_0570, "{name}");
    }
    grant("child.avhdx");
    assert_eq!(add("child.avhdx"), 0xC03A_0016);
    grant("base.vhdx");
    assert_eq!(add("child.avhdx"), 0);
    assert_eq!(
        open.modify(&at("1", "Add", &disk(&at_path("base.vhdx"), false))),
        0x8007_0020
    );
    assert_eq!(open.modify(&at("0", "Remove", &json!(null))), 0);
    std::fs::remove_file(at_path("base.vhdx")).unwrap();
    assert_eq!(add("child.avhdx"), 0xC03A_000D);
    // Another image under that name is not what the child stands on.
    image(Path::new(&at_path("base.vhdx")));
    assert_eq!(add("child.avhdx"), 0xC03A_000E);
}
