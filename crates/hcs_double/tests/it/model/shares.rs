//! Shares of directories: for which guest, under which name, with which flags and files.

use computecore::{FileModel, Guest};
use serde_json::{Value, json};

use super::{Open, host};

const PLAN9: &str = "VirtualMachine/Devices/Plan9/Shares";
const SMB: &str = "VirtualMachine/Devices/VirtualSmb/Shares";

fn open(guest: Guest) -> Open {
    let files = [
        ("C:\\srv", FileModel::directory()),
        ("C:\\srv\\one", FileModel::default()),
    ];
    Open::new(host(guest, &files))
}

fn request(path: &str, verb: &str, settings: &Value) -> Value {
    json!({"ResourcePath": path, "RequestType": verb, "Settings": settings})
}

#[test]
fn plan_9_is_for_linux_by_port_and_access_name_with_flags_that_make_sense() {
    let share = |more: Value| {
        let mut share = json!({"Name": "0", "AccessName": "0", "Path": "C:\\srv", "Port": 564});
        for (name, value) in more.as_object().unwrap() {
            share[name] = value.clone();
        }
        share
    };
    let windows = open(Guest::Windows);
    assert_eq!(
        windows.modify(&request(PLAN9, "Add", &share(json!({})))),
        0x8007_0032
    );
    let linux = open(Guest::Linux);
    let add = |more| linux.modify(&request(PLAN9, "Add", &share(more)));
    for more in [
        json!({"Port": 0}),
        json!({"Name": "", "AccessName": ""}),
        json!({"Flags": 2}),
        json!({"Flags": 0x200}),
        json!({"Flags": 0x80}),
        json!({"AllowedFiles": ["C:\\srv\\one"]}),
        json!({"Flags": 0x80, "AllowedFiles": ["C:\\other\\one"]}),
        json!({"Path": "C:\\srv\\one"}),
    ] {
        assert_eq!(add(more.clone()), 0x8007_0057, "{more}");
    }
    assert_eq!(add(json!({"Path": "C:\\none"})), 0x8007_0002);
    assert_eq!(add(json!({"ReadOnly": true})), 0x8037_010D);
    assert_eq!(add(json!({"Flags": 5})), 0);
    assert_eq!(add(json!({})), 0x8007_00B7);
    assert_eq!(add(json!({"Port": 565})), 0);
    assert_eq!(
        add(json!({"AccessName": "1", "Flags": 0x80, "AllowedFiles": ["c:\\SRV\\one"]})),
        0
    );
    let remove = |more: Value| linux.modify(&request(PLAN9, "Remove", &more));
    assert_eq!(remove(json!({"AccessName": "2", "Port": 564})), 0x8007_0490);
    for _ in 0..1 {
        assert_eq!(remove(json!({"AccessName": "0", "Port": 564})), 0);
    }
    assert_eq!(remove(json!({"AccessName": "0", "Port": 564})), 0x8007_0490);
}

#[test]
fn smb_is_for_windows_and_only_the_files_of_a_restricted_share_are_updated() {
    let linux = open(Guest::Linux);
    let whole = json!({"Name": "S", "Path": "C:\\srv"});
    assert_eq!(linux.modify(&request(SMB, "Add", &whole)), 0x8007_0032);
    let windows = open(Guest::Windows);
    let ask = |verb, settings: &Value| windows.modify(&request(SMB, verb, settings));
    let restricted = |name: &str, file: &str| {
        json!({"Name": name, "Path": "C:\\srv", "AllowedFiles": [file],
               "Options": {"RestrictFileAccess": true, "SingleFileMapping": true}})
    };
    assert_eq!(ask("Add", &whole), 0);
    assert_eq!(
        ask("Add", &json!({"Name": "s", "Path": "C:\\srv"})),
        0x8007_00B7
    );
    assert_eq!(
        ask("Add", &json!({"Name": "t", "Path": "C:\\srv\\one"})),
        0x8007_0057
    );
    assert_eq!(
        ask("Add", &restricted("one", "C:\\elsewhere\\one")),
        0x8007_0057
    );
    assert_eq!(ask("Add", &restricted("one", "C:\\srv\\one")), 0);
    assert_eq!(ask("Update", &restricted("one", "C:\\srv\\two")), 0);
    assert_eq!(ask("Update", &restricted("S", "C:\\srv\\two")), 0x8007_0057);
    assert_eq!(
        ask("Update", &restricted("none", "C:\\srv\\two")),
        0x8007_0490
    );
    let mut half = restricted("half", "C:\\srv\\one");
    half["Options"] = json!({});
    assert_eq!(ask("Add", &half), 0x8007_0057);
    assert_eq!(ask("Remove", &json!({"Name": "ONE"})), 0);
    assert_eq!(ask("Remove", &json!({"Name": "one"})), 0x8007_0490);
}
