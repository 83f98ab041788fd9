//! Disks: places, files, access, and who has what open beside whom.

use attach::hcs::ComputeCore;
use computecore::{Content, Control, FileModel, Guest, HostModel, Trouble};
use serde_json::json;

use super::{CONTROLLER, ID, OTHER, Open, at, disk, host};

const DENIED: u32 = 0x8007_0005;
const SHARING: u32 = 0x8007_0020;

fn plain() -> Open {
    let files = ["C:\\a.vhdx", "C:\\b.vhdx", "C:\\c.vhdx"];
    let files = files.map(|name| (name, FileModel::default()));
    Open::new(host(Guest::Windows, &files))
}

#[test]
fn a_place_is_a_number_below_64_of_a_controller_that_is_there_and_has_one_disk() {
    let open = plain();
    assert!(open.double.grant_vm_access(ID, "C:\\a.vhdx").is_success());
    let a = disk("C:\\a.vhdx", false);
    for lun in ["64", "255", "01"] {
        assert_eq!(open.modify(&at(lun, "Add", &a)), 0x8007_0057, "{lun}");
    }
    for lun in ["256", "x", "-1", ""] {
        assert_eq!(open.modify(&at(lun, "Add", &a)), 0x8037_010D, "{lun}");
    }
    let elsewhere = json!({
        "ResourcePath": "VirtualMachine/Devices/Scsi/none/Attachments/0",
        "RequestType": "Add", "Settings": a,
    });
    assert_eq!(open.modify(&elsewhere), 0x8007_0490);
    assert_eq!(open.modify(&at("0", "Remove", &json!(null))), 0x8007_0490);
    assert_eq!(open.modify(&at("0", "Update", &a)), 0x8007_0490);
    assert_eq!(open.modify(&at("63", "Add", &a)), 0);
    assert_eq!(open.modify(&at("63", "Add", &a)), 0x8007_00B7);
    assert_eq!(open.modify(&at("63", "Update", &a)), 0);
    // What is said of a disk that is removed is not looked at.
    let nonsense = json!({"Path": "C:\\other.vhdx"});
    assert_eq!(open.modify(&at("63", "Remove", &nonsense)), 0);
}

#[test]
fn a_file_has_to_be_a_disk_that_the_machine_may_open_for_what_it_does() {
    let special = |change: fn(&mut FileModel)| {
        let mut file = FileModel::default();
        change(&mut file);
        file
    };
    let files = [
        ("C:\\a.vhdx", FileModel::default()),
        (
            "C:\\text.vhdx",
            special(|file| file.content = Content::Other),
        ),
        ("C:\\dir.vhdx", FileModel::directory()),
        ("C:\\sparse.vhdx", special(|file| file.sparse = true)),
        ("C:\\small.vhdx", special(|file| file.compressed = true)),
        ("C:\\secret.vhdx", special(|file| file.encrypted = true)),
    ];
    let open = Open::new(host(Guest::Linux, &files));
    let add = |settings| open.modify(&at("0", "Add", &settings));
    assert_eq!(add(disk("C:\\none.vhdx", false)), 0x8007_0002);
    assert_eq!(add(disk("C:\\a.vhdx", false)), DENIED);
    // The group of all machines may read; who writes needs an entry of his own.
    assert!(open.double.grant_group_access("C:\\a.vhdx").is_success());
    assert_eq!(add(disk("C:\\a.vhdx", false)), DENIED);
    assert_eq!(add(disk("C:\\a.vhdx", true)), 0);
    assert_eq!(open.modify(&at("0", "Remove", &json!(null))), 0);
    // Another machine's entry is not this one's, and case does not matter.
    assert!(
        open.double
            .grant_vm_access(OTHER, "C:\\a.vhdx")
            .is_success()
    );
    assert_eq!(add(disk("C:\\a.vhdx", false)), DENIED);
    assert!(open.double.grant_vm_access(ID, "c:\\A.vhdx").is_success());
    assert_eq!(add(disk("C:\\a.vhdx", false)), 0);
    assert_eq!(open.modify(&at("0", "Remove", &json!(null))), 0);
    for (path, code, allowed) in [
        ("C:\\text.vhdx", 0x8007_0570, ""),
        ("C:\\dir.vhdx", 0x8007_0570, ""),
        ("C:\\sparse.vhdx", 0xC03A_001A, "AlwaysAllowSparseFiles"),
        ("C:\\small.vhdx", 0xC03A_001A, "SupportCompressedVolumes"),
        ("C:\\secret.vhdx", 0xC03A_001A, "SupportEncryptedFiles"),
    ] {
        assert!(open.double.grant_vm_access(ID, path).is_success());
        assert_eq!(add(disk(path, false)), code, "{path}");
        if !allowed.is_empty() {
            let mut settings = disk(path, false);
            settings[allowed] = json!(true);
            assert_eq!(add(settings), 0, "{path}");
            assert_eq!(open.modify(&at("0", "Remove", &json!(null))), 0);
        }
    }
    assert_eq!(add(json!({"Path": "C:\\a.vhdx"})), 0x8007_0057);
}

#[test]
fn who_writes_is_alone_and_what_a_disk_stands_on_is_written_by_nobody() {
    let files = [
        ("C:\\base.vhdx", FileModel::default()),
        ("C:\\one.avhdx", FileModel::child_of("C:\\base.vhdx")),
        ("C:\\two.avhdx", FileModel::child_of("c:\\BASE.vhdx")),
        ("C:\\lost.avhdx", FileModel::child_of("C:\\none.vhdx")),
        ("C:\\round.avhdx", FileModel::child_of("C:\\round.avhdx")),
    ];
    let open = Open::new(host(Guest::Windows, &files));
    let grant = |path: &str| assert!(open.double.grant_vm_access(ID, path).is_success());
    let add =
        |lun: &str, path: &str, read_only| open.modify(&at(lun, "Add", &disk(path, read_only)));
    for name in ["one", "two", "lost", "round"] {
        grant(&format!("C:\\{name}.avhdx"));
    }
    assert_eq!(add("0", "C:\\lost.avhdx", false), 0xC03A_000D);
    assert_eq!(add("0", "C:\\round.avhdx", false), 0xC03A_0018);
    // Access to an image is none to what it stands on.
    assert_eq!(add("0", "C:\\one.avhdx", false), 0xC03A_0016);
    assert!(open.double.grant_group_access("C:\\base.vhdx").is_success());
    assert_eq!(add("0", "C:\\one.avhdx", false), 0);
    assert_eq!(add("1", "C:\\two.avhdx", false), 0);
    grant("C:\\base.vhdx");
    assert_eq!(add("2", "C:\\base.vhdx", false), SHARING);
    assert_eq!(add("2", "C:\\base.vhdx", true), 0);
    assert_eq!(add("3", "C:\\one.avhdx", true), SHARING);
    for lun in ["0", "1", "2"] {
        assert_eq!(open.modify(&at(lun, "Remove", &json!(null))), 0);
    }
    assert_eq!(add("0", "C:\\base.vhdx", false), 0);
    assert_eq!(add("1", "C:\\one.avhdx", false), SHARING);
    // The other machine is no better off.
    let other = open.double.open_compute_system(OTHER).unwrap();
    assert!(
        open.double
            .grant_vm_access(OTHER, "C:\\base.vhdx")
            .is_success()
    );
    let request = at("0", "Add", &disk("C:\\base.vhdx", true)).to_string();
    let told = open.run(|operation| {
        open.double
            .modify_compute_system(other, operation, &request)
    });
    assert_eq!(told.0.0, SHARING);
    assert!(told.1.unwrap().contains("in use"));
}

#[test]
fn a_list_of_access_that_is_never_revoked_from_fills() {
    let mut model = host(Guest::Windows, &[("C:\\a.vhdx", FileModel::default())]);
    model.access_limit = 3;
    let open = Open::new(model);
    let grant = |id: &str| open.double.grant_vm_access(id, "C:\\a.vhdx").0;
    for id in ["1", "2", "3", "3"] {
        assert_eq!(grant(id), 0);
    }
    assert_eq!(grant("4"), 0x8007_0538);
    assert_eq!(open.double.grant_group_access("C:\\a.vhdx").0, 0x8007_0538);
    assert_eq!(open.double.revoke_vm_access("2", "C:\\a.vhdx").0, 0);
    // Taking back what was not given is nothing to complain of.
    assert_eq!(open.double.revoke_vm_access("2", "C:\\a.vhdx").0, 0);
    assert_eq!(grant("4"), 0);
    assert_eq!(grant("5"), 0x8007_0538);
}

#[test]
fn documents_are_of_their_version_and_resources_have_their_verbs() {
    let open = plain();
    assert!(open.double.grant_vm_access(ID, "C:\\a.vhdx").is_success());
    let mut settings = disk("C:\\a.vhdx", false);
    settings["SupportEncryptedFiles"] = json!(true);
    let set_minor = |newest_minor| {
        let told = open.double.control("\"Report\"").unwrap();
        let told: computecore::Report = serde_json::from_str(&told).unwrap();
        let host = HostModel {
            newest_minor,
            ..told.host
        };
        let request = serde_json::to_string(&Control::SetHost(host)).unwrap();
        open.double.control(&request).unwrap();
    };
    set_minor(5);
    assert_eq!(open.modify(&at("0", "Add", &settings)), 0x8037_010D);
    set_minor(6);
    assert_eq!(open.modify(&at("0", "Add", &settings)), 0);
    for (path, verb) in [
        ("VirtualMachine/Devices/Scsi", "Add"),
        ("VirtualMachine/Devices/FlexibleIov/x", "Remove"),
        ("Elsewhere", "Add"),
    ] {
        let request = json!({"ResourcePath": path, "RequestType": verb, "Settings": {}});
        assert_eq!(open.modify(&request), 0x8037_010D, "{path}");
    }
    let request = json!({
        "ResourcePath": "VirtualMachine/Devices/VirtualPMem/Devices/0", "RequestType": "Add",
        "Settings": {"HostPath": "C:\\a.vhdx"},
    });
    assert_eq!(open.modify(&request), 0x8007_0032);
}

#[test]
fn a_guest_that_refuses_leaves_the_machine_as_it_was_and_is_asked_in_order() {
    let mut model = host(Guest::Linux, &[("C:\\a.vhdx", FileModel::default())]);
    let machine = model.machines.get_mut(ID).unwrap();
    machine.guest_refuses.insert("SCSIDevice".to_owned());
    let open = Open::new(model);
    assert!(open.double.grant_vm_access(ID, "C:\\a.vhdx").is_success());
    assert_eq!(open.modify(&at("0", "Add", &disk("C:\\a.vhdx", false))), 0);
    let mut remove = at("0", "Remove", &json!(null));
    remove["GuestRequest"] = json!({"ResourceType": "SCSIDevice", "RequestType": "Remove",
                                    "Settings": {"Controller": 0, "Lun": 0}});
    assert_eq!(open.modify(&remove), 0x8037_011C);
    let told = open.double.control("\"Report\"").unwrap();
    let told: computecore::Report = serde_json::from_str(&told).unwrap();
    assert!(
        told.host.machines[ID]
            .disks
            .contains_key(&format!("{CONTROLLER}/0"))
    );
    assert_eq!(told.host.machines[ID].guest_requests, [""; 0]);
}

#[test]
fn a_machine_that_stops_in_the_middle_has_nothing_but_access() {
    let open = plain();
    assert!(open.double.grant_vm_access(ID, "C:\\a.vhdx").is_success());
    assert_eq!(open.modify(&at("0", "Add", &disk("C:\\a.vhdx", false))), 0);
    let trouble = Control::Trouble(1, Trouble::Stop);
    open.double
        .control(&serde_json::to_string(&trouble).unwrap())
        .unwrap();
    assert_eq!(open.modify(&at("0", "Remove", &json!(null))), 0x8037_0110);
    let told = open.double.control("\"Report\"").unwrap();
    let told: computecore::Report = serde_json::from_str(&told).unwrap();
    assert!(told.host.machines[ID].disks.is_empty());
    assert_eq!(told.host.files_open_to(ID), ["c:\\a.vhdx"]);
}
