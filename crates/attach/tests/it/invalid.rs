//! Documents that the service would refuse: each is refused here, at the field.

use attach::SchemaVersion;
use attach::hcs::{DocumentKind, validate};
use serde_json::{Value, json};

const V2_1: SchemaVersion = SchemaVersion::V2_1;

fn machine(devices: Value) -> Value {
    json!({
        "Owner": "x", "SchemaVersion": {"Major": 2, "Minor": 1},
        "VirtualMachine": {"Devices": devices},
    })
}

fn disk(attachment: Value) -> Value {
    machine(json!({"Scsi": {"c": {"Attachments": {"0": attachment}}}}))
}

fn plan9(share: Value) -> Value {
    machine(json!({"Plan9": {"Shares": [share]}}))
}

fn smb(share: Value) -> Value {
    machine(json!({"VirtualSmb": {"Shares": [share]}}))
}

fn container(storage: Value) -> Value {
    json!({
        "Owner": "x", "SchemaVersion": {"Major": 2, "Minor": 1}, "Container": storage,
    })
}

fn modify(path: &str, verb: &str, settings: Value) -> Value {
    json!({"ResourcePath": path, "RequestType": verb, "Settings": settings})
}

#[test]
fn thirty_and_more_invalid_documents_are_refused_at_the_field() {
    let scsi = "VirtualMachine/Devices/Scsi/c/Attachments/1";
    let attachment = "$.VirtualMachine.Devices.Scsi.c.Attachments.0";
    let share = "$.VirtualMachine.Devices.Plan9.Shares[0]";
    let smb_share = "$.VirtualMachine.Devices.VirtualSmb.Shares[0]";
    let system = DocumentKind::ComputeSystem;
    let change = DocumentKind::Modify;
    let at = |base: &str, field: &str| format!("{base}.{field}");
    for (document, kind, path) in [
        (
            plan9(json!({"ReadOnly": true})),
            system,
            at(share, "ReadOnly"),
        ),
        (plan9(json!({"name": "x"})), system, at(share, "name")),
        (plan9(json!({"Name": 7})), system, at(share, "Name")),
        (plan9(json!({"Port": -1})), system, at(share, "Port")),
        (
            plan9(json!({"Port": 1_u64 << 32})),
            system,
            at(share, "Port"),
        ),
        (
            plan9(json!({"Flags": 1_i64 << 31})),
            system,
            at(share, "Flags"),
        ),
        (
            plan9(json!({"AllowedFiles": ["a"]})),
            system,
            at(share, "AllowedFiles"),
        ),
        (plan9(json!("share")), system, share.to_owned()),
        (
            smb(json!({"ReadOnly": true})),
            system,
            at(smb_share, "ReadOnly"),
        ),
        (
            smb(json!({"Options": {"ReadOnly": 1}})),
            system,
            at(smb_share, "Options.ReadOnly"),
        ),
        (
            smb(json!({"Options": []})),
            system,
            at(smb_share, "Options"),
        ),
        (
            smb(json!({"Options": {"SupportCloudFiles": true}})),
            system,
            at(smb_share, "Options.SupportCloudFiles"),
        ),
        (
            smb(json!({"AllowedFiles": [1]})),
            system,
            at(smb_share, "AllowedFiles[0]"),
        ),
        (
            disk(json!({"Type": "Disk"})),
            system,
            at(attachment, "Type"),
        ),
        (
            disk(json!({"ReadOnly": "true"})),
            system,
            at(attachment, "ReadOnly"),
        ),
        (
            disk(json!({"EncryptionInfo": {}})),
            system,
            at(attachment, "EncryptionInfo"),
        ),
        (
            disk(json!({"SupportCompressedVolumes": true})),
            system,
            at(attachment, "SupportCompressedVolumes"),
        ),
        (
            disk(json!({"AlwaysAllowSparseFiles": true})),
            system,
            at(attachment, "AlwaysAllowSparseFiles"),
        ),
        (
            disk(json!({"CachingMode": "Fast"})),
            system,
            at(attachment, "CachingMode"),
        ),
        (
            machine(json!({"Scsi": {"c": {"Attachments": {"first": {}}}}})),
            system,
            "$.VirtualMachine.Devices.Scsi.c.Attachments.first".to_owned(),
        ),
        (
            machine(json!({"Scsi": {"c": {"Attachments": {"256": {}}}}})),
            system,
            "$.VirtualMachine.Devices.Scsi.c.Attachments.256".to_owned(),
        ),
        (
            machine(json!({"Scsi": [{"Attachments": {}}]})),
            system,
            "$.VirtualMachine.Devices.Scsi".to_owned(),
        ),
        (
            machine(json!({"VirtioFs": {}})),
            system,
            "$.VirtualMachine.Devices.VirtioFs".to_owned(),
        ),
        (
            container(json!({"MappedDirectories": [{"HostPathType": "Relative"}]})),
            system,
            "$.Container.MappedDirectories[0].HostPathType".to_owned(),
        ),
        (
            container(json!({"MappedDirectories": {"HostPath": "x"}})),
            system,
            "$.Container.MappedDirectories".to_owned(),
        ),
        (
            container(json!({"Storage": {"QoS": {"IopsMaximum": -5}}})),
            system,
            "$.Container.Storage.QoS.IopsMaximum".to_owned(),
        ),
        (
            container(json!({"Storage": {"Layers": [{"Cache": "On"}]}})),
            system,
            "$.Container.Storage.Layers[0].Cache".to_owned(),
        ),
        (json!([]), system, "$".to_owned()),
        (json!({"Owner": "x"}), system, "$.SchemaVersion".to_owned()),
        (
            json!({"Owner": "x", "SchemaVersion": {"Major": 2, "Minor": 5}}),
            system,
            "$.SchemaVersion".to_owned(),
        ),
        (
            json!({
                "Owner": "x", "SchemaVersion": {"Major": 2, "Minor": 1}, "VirtualMachine": {},
                "Container": {},
            }),
            system,
            "$.Container".to_owned(),
        ),
        (
            modify(scsi, "Insert", json!({})),
            change,
            "$.RequestType".to_owned(),
        ),
        (
            json!({"ResourcePath": scsi}),
            change,
            "$.RequestType".to_owned(),
        ),
        (
            json!({"ResourcePath": scsi, "RequestType": "Add"}),
            change,
            "$.Settings".to_owned(),
        ),
        (
            modify(scsi, "Add", json!({"Lun": 1})),
            change,
            "$.Settings.Lun".to_owned(),
        ),
        (
            modify(
                "VirtualMachine/Devices/Scsi/c/Attachments/x",
                "Add",
                json!({}),
            ),
            change,
            "$.ResourcePath".to_owned(),
        ),
        (
            modify("Container/MappedDirectories", "Update", json!({})),
            change,
            "$.RequestType".to_owned(),
        ),
        (
            json!({"ResourcePath": "VirtualMachine/Devices/Plan9/Shares", "RequestType": "Remove"}),
            change,
            "$.Settings".to_owned(),
        ),
        (
            json!({"GuestRequest": {"ResourceType": "MappedVirtualDisk"}}),
            change,
            "$.GuestRequest.RequestType".to_owned(),
        ),
        (json!({}), change, "$.ResourcePath".to_owned()),
    ] {
        let problems = validate(&document, kind, V2_1);
        let paths: Vec<_> = problems
            .iter()
            .map(|problem| problem.path.as_str())
            .collect();
        assert!(paths.contains(&path.as_str()), "{path}: {problems:?}");
    }
}

#[test]
fn a_field_that_is_none_comes_with_what_was_probably_meant() {
    let message = |document: &Value| {
        let problems = validate(document, DocumentKind::ComputeSystem, V2_1);
        problems[0].message.clone()
    };
    let read_only = message(&plan9(json!({"ReadOnly": true})));
    assert!(read_only.contains("bit 1 of Flags"), "{read_only}");
    let spelled = message(&plan9(json!({"accessname": "x"})));
    assert!(spelled.contains("spelled AccessName"), "{spelled}");
}

#[test]
fn a_document_without_end_is_bounded() {
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    // Depth is bounded where we look; elsewhere nothing is looked into.
    assert!(
        !validate(
            &smb(json!({"AllowedFiles": deep})),
            DocumentKind::ComputeSystem,
            V2_1
        )
        .is_empty()
    );
    let many: Vec<Value> = (0..10_000).map(|_| json!({"Nope": 1})).collect();
    let document = machine(json!({"Plan9": {"Shares": many}}));
    assert_eq!(
        validate(&document, DocumentKind::ComputeSystem, V2_1).len(),
        100
    );
}
