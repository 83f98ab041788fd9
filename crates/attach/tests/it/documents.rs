//! The documents: equal to the letter, and taken by our own reading of the schema.

use attach::hcs::{DocumentKind, render, render_first_schema, validate};
use attach::{
    GuestFileSystem, GuestSystem, Hypervisor, Plan, QemuMachine, SchemaVersion, Source, oci_mounts,
    qemu_arguments,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::plans::any_mount;
use crate::requests::{V2_1, V2_9, directory, disk, path, platform, request, smb, temporary};

use GuestSystem::{Linux, Windows};
use Hypervisor::Qemu;

const NTFS: GuestFileSystem = GuestFileSystem::Ntfs;

#[test]
fn a_disk_and_a_directory_for_a_windows_guest() {
    let mounts = [
        request(disk("C:\\v\\a.vhdx", NTFS), "C:\\data", Windows, false),
        request(directory("C:\\host\\ro"), "C:\\ro", Windows, true),
    ];
    let plan = Plan::new(platform(V2_1, Windows), &mounts).unwrap();
    let documents = serde_json::to_value(render(&plan).unwrap()).unwrap();
    let attachment = json!({
        "Type": "VirtualDisk", "Path": "C:\\v\\a.vhdx", "ReadOnly": false,
        "CachingMode": "ReadOnlyCached",
    });
    let share = json!({
        "Name": "0", "Path": "C:\\host\\ro",
        "Options": {"ReadOnly": true, "ShareRead": true, "CacheIo": true, "PseudoOplocks": true},
    });
    let controller = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";
    let resource = format!("VirtualMachine/Devices/Scsi/{controller}/Attachments/0");
    let staging = json!({"ContainerPath": "C:\\mounts\\scsi\\0_0_0"});
    let guest = |verb: &str| {
        json!({"GuestRequest": {
            "ResourceType": "MappedVirtualDisk", "RequestType": verb, "Settings": staging,
        }})
    };
    let smb = "VirtualMachine/Devices/VirtualSmb/Shares";
    assert_eq!(
        documents,
        json!({
            "SchemaVersion": {"Major": 2, "Minor": 1},
            "VirtualMachine": {"Devices": {
                "Scsi": {controller: {"Attachments": {"0": attachment}}},
                "VirtualSmb": {"Shares": [share]},
            }},
            "Container": {"MappedDirectories": [
                {"HostPath": "C:\\mounts\\scsi\\0_0_0", "ContainerPath": "C:\\data", "ReadOnly": false},
                {"HostPath": "\\\\?\\VMSMB\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\0",
                 "ContainerPath": "C:\\ro", "ReadOnly": true},
            ]},
            "Access": [{"Path": "C:\\v\\a.vhdx", "Write": true}],
            "Add": [
                {"ResourcePath": resource, "RequestType": "Add", "Settings": attachment},
                guest("Add"),
                {"ResourcePath": smb, "RequestType": "Add", "Settings": share},
            ],
            "Remove": [
                {"ResourcePath": smb, "RequestType": "Remove", "Settings": {"Name": "0"}},
                guest("Remove"),
                {"ResourcePath": resource, "RequestType": "Remove"},
            ],
        })
    );
}

#[test]
fn a_disk_a_directory_and_a_file_for_a_linux_guest() {
    let file = Source::File {
        path: path("C:\\host\\conf\\app.json"),
    };
    let mounts = [
        request(disk("C:\\v\\a.vhdx", NTFS), "/data", Linux, true),
        request(file, "/etc/app.json", Linux, true),
    ];
    let plan = Plan::new(platform(V2_9, Linux), &mounts).unwrap();
    let documents = serde_json::to_value(render(&plan).unwrap()).unwrap();
    let devices = &documents["VirtualMachine"]["Devices"];
    assert_eq!(
        devices["Plan9"]["Shares"],
        json!([{
            "Name": "0", "AccessName": "0", "Path": "C:\\host\\conf", "Port": 564,
            // Read-only, metadata of Linux, one file.
            "Flags": 0x85, "AllowedFiles": ["C:\\host\\conf\\app.json"],
        }])
    );
    let attachments = &devices["Scsi"]["df6d0690-79e5-55b6-a5ec-c1e2f77f580a"]["Attachments"];
    assert_eq!(
        attachments["0"],
        json!({
            "Type": "VirtualDisk", "Path": "C:\\v\\a.vhdx", "ReadOnly": true,
            "CachingMode": "ReadOnlyCached", "SupportCompressedVolumes": true,
            "AlwaysAllowSparseFiles": true, "SupportEncryptedFiles": true,
        })
    );
    let steps = |list: &str| -> Vec<String> {
        let requests = documents[list].as_array().unwrap().iter();
        let word = |request: &Value| match request.get("GuestRequest") {
            Some(guest) => format!("guest {}", guest["ResourceType"].as_str().unwrap()),
            None => request["ResourcePath"].as_str().unwrap().to_owned(),
        };
        requests.map(word).collect()
    };
    let scsi = "VirtualMachine/Devices/Scsi/df6d0690-79e5-55b6-a5ec-c1e2f77f580a/Attachments/0";
    let plan9 = "VirtualMachine/Devices/Plan9/Shares";
    assert_eq!(
        steps("Add"),
        [
            scsi,
            "guest MappedVirtualDisk",
            plan9,
            "guest MappedDirectory"
        ]
    );
    assert_eq!(
        steps("Remove"),
        [
            "guest MappedDirectory",
            plan9,
            "guest MappedVirtualDisk",
            "guest SCSIDevice",
            scsi
        ]
    );
    assert_eq!(
        documents["Remove"][1]["Settings"],
        json!({"Name": "0", "AccessName": "0", "Port": 564})
    );
}

#[test]
fn the_first_schema_and_oci_say_what_appears_where() {
    let mounts = [
        request(disk("C:\\v\\a.vhdx", NTFS), "C:\\data", Windows, true),
        request(directory("C:\\host\\d"), "C:\\d", Windows, false),
        request(
            Source::File {
                path: path("C:\\host\\f.txt"),
            },
            "C:\\f.txt",
            Windows,
            true,
        ),
    ];
    let plan = Plan::new(platform(V2_1, Windows), &mounts).unwrap();
    assert_eq!(
        render_first_schema(&plan).unwrap(),
        json!({
            "MappedDirectories": [
                {"HostPath": "C:\\host\\d", "ContainerPath": "C:\\d", "ReadOnly": false},
                {"HostPath": "C:\\host\\f.txt", "ContainerPath": "C:\\f.txt", "ReadOnly": true},
            ],
            "MappedVirtualDisks": [
                {"HostPath": "C:\\v\\a.vhdx", "ContainerPath": "C:\\data", "ReadOnly": true},
            ],
        })
    );
    assert_eq!(
        serde_json::to_value(oci_mounts(&plan).unwrap()).unwrap(),
        json!([
            {"destination": "C:\\data", "type": "virtual-disk", "source": "C:\\v\\a.vhdx",
             "options": ["ro"]},
            {"destination": "C:\\d", "type": "bind", "source": "C:\\host\\d",
             "options": ["rbind", "rw"]},
            {"destination": "C:\\f.txt", "type": "bind", "source": "C:\\host\\f.txt",
             "options": ["rbind", "ro"]},
        ])
    );
}

#[test]
fn arguments_of_qemu_name_the_export_the_place_and_the_share() {
    let mounts = [
        request(disk("/v/a.vhdx", NTFS), "/data", Linux, true),
        request(directory("/host/d"), "/d", Linux, false),
    ];
    let plan = Plan::new(platform(Qemu, Linux), &mounts).unwrap();
    let machine = QemuMachine {
        sockets: "/run/a,b".to_owned(),
        memory: 512 << 20,
    };
    let arguments = qemu_arguments(&plan, &machine).unwrap();
    assert_eq!(arguments[..2], ["-device", "virtio-scsi-pci,id=scsi0"]);
    let node: Value = serde_json::from_str(&arguments[3]).unwrap();
    assert_eq!(node["server"]["path"], "/run/a,b/-v-a-vhdx.nbd");
    assert_eq!(node["read-only"], true);
    let device: Value = serde_json::from_str(&arguments[5]).unwrap();
    assert_eq!(device["drive"], node["node-name"]);
    assert_eq!(
        (&device["lun"], &device["serial"]),
        (&json!(0), &json!("-v-a-vhdx"))
    );
    assert_eq!(
        arguments[6..],
        [
            "-object",
            "memory-backend-memfd,id=cvol-memory,size=536870912,share=on",
            "-machine",
            "memory-backend=cvol-memory",
            "-chardev",
            "socket,id=cvol-share-0,path=/run/a,,b/0.virtiofs",
            "-device",
            "vhost-user-fs-pci,id=cvol-share-0,chardev=cvol-share-0,tag=0",
        ]
    );
}

#[test]
fn what_a_form_cannot_say_is_refused_and_not_left_out() {
    let smb_plan = |hypervisor, guest, target| {
        Plan::new(
            platform(hypervisor, guest),
            &[request(smb("//s/d"), target, guest, false)],
        )
        .unwrap()
    };
    let windows = smb_plan(V2_1, Windows, "D:");
    assert!(render(&windows).unwrap_err().to_string().contains(r"\\s\d"));
    assert!(render_first_schema(&windows).is_err() && oci_mounts(&windows).is_err());
    let qemu = smb_plan(Qemu, Linux, "/d");
    assert!(render(&qemu).is_err() && oci_mounts(&qemu).is_err());
    let machine = QemuMachine {
        sockets: "/run".to_owned(),
        memory: 1 << 30,
    };
    assert!(qemu_arguments(&windows, &machine).is_err());
    assert!(qemu_arguments(&qemu, &machine).unwrap().is_empty());
    let memory = [request(temporary("/t"), "/t", Linux, false)];
    let plan = Plan::new(platform(V2_1, Linux), &memory);
    assert_eq!(oci_mounts(&plan.unwrap()).unwrap()[0].kind, "tmpfs");
}

proptest! {
    #[test]
    fn every_document_that_can_be_made_is_taken(
        minor in 0..10_u32,
        windows in any::<bool>(),
        mounts in prop::collection::vec(any_mount(Windows, true), 0..8),
        linux_mounts in prop::collection::vec(any_mount(Linux, true), 0..8),
    ) {
        let version = SchemaVersion { major: 2, minor };
        let guest = if windows { Windows } else { Linux };
        let mounts = if windows { mounts } else { linux_mounts };
        // Targets that are taken twice, and files where there are none yet, are refused: see `plans`.
        let Ok(plan) = Plan::new(platform(Hypervisor::Hcs(version), guest), &mounts) else {
            return Ok(());
        };
        let documents = serde_json::to_value(render(&plan).unwrap()).unwrap();
        let mut whole = json!({"Owner": "cvol", "SchemaVersion": documents["SchemaVersion"]});
        for part in ["VirtualMachine", "Container"] {
            whole[part] = documents[part].clone();
            let problems = validate(&whole, DocumentKind::ComputeSystem, version);
            prop_assert!(problems.is_empty(), "{:?}", problems);
            whole.as_object_mut().unwrap().remove(part);
        }
        for list in ["Add", "Remove"] {
            for request in documents[list].as_array().unwrap() {
                let problems = validate(request, DocumentKind::Modify, version);
                prop_assert!(problems.is_empty(), "{request}: {:?}", problems);
            }
        }
    }
}
