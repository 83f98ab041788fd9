//! Mounts planned and told to other tools, and documents of HCS checked; nothing is touched by any.

use serde_json::{Value, json};

use crate::Scratch;

const DISK: &str = r"type=vhd,source=C:\v\a.vhdx,target=C:\data,readonly";

#[test]
fn a_plan_of_a_volume_names_its_image_and_leaves_everything_as_it_is() {
    let scratch = Scratch::new();
    scratch.ok(&["create", "data", "--size", "64M"]);
    std::fs::create_dir(scratch.path("shared")).unwrap();
    let shared = format!(
        "type=bind,src={},dst=/data/x,ro",
        scratch.path("shared").display()
    );
    let arguments = [
        "attach",
        "--plan",
        "--guest",
        "linux",
        "--mount",
        &shared,
        "-m",
        "source=data,target=/data",
    ];
    // Where nobody says it, the machine is one that takes the paths of this host: of HCS on Windows.
    let reached = match cfg!(windows) {
        true => "grant-access",
        false => "serve-disk",
    };
    let plan = scratch.json(&arguments);
    let actions: Vec<_> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["action"])
        .collect();
    assert_eq!(
        actions,
        [
            reached,
            "add-disk",
            "mount-disk",
            "add-share",
            "mount-share"
        ]
    );
    let image = scratch.json(&["inspect", "data"])[0]["image_path"].clone();
    assert_eq!(plan["steps"][1]["details"]["path"], image);
    assert_eq!(plan["steps"][2]["details"]["file_system"], "ntfs");
    let text = scratch.ok(&arguments).stdout;
    assert!(text.contains("mount the disk at 0:0 at /data"), "{text}");
    assert_eq!(
        std::fs::read_dir(scratch.path("shared")).unwrap().count(),
        0
    );
}

#[test]
fn forms_of_other_tools_are_printed_and_taken_by_our_own_check() {
    let scratch = Scratch::new();
    let told = scratch.json(&[
        "render", "--as", "hcs", "--guest", "windows", "--mount", DISK,
    ]);
    let controller = "df6d0690-79e5-55b6-a5ec-c1e2f77f580a";
    let attachment = &told["VirtualMachine"]["Devices"]["Scsi"][controller]["Attachments"]["0"];
    assert_eq!(attachment["Path"], r"C:\v\a.vhdx");
    scratch.write("request.json", told["Add"][0].to_string().as_bytes());
    scratch.ok(&["hcs", "validate", "request.json", "--kind", "modify"]);
    let first = scratch.json(&[
        "render", "--as", "hcs1", "--guest", "windows", "--mount", DISK,
    ]);
    let disk = json!({"HostPath": r"C:\v\a.vhdx", "ContainerPath": r"C:\data", "ReadOnly": true});
    assert_eq!(first["MappedVirtualDisks"], json!([disk]));
    let oci = scratch.json(&[
        "render", "--as", "oci", "--guest", "windows", "--mount", DISK,
    ]);
    assert_eq!(oci[0]["type"], "virtual-disk");
    let unix = "type=vhd,source=/v/a.vhdx,target=/data";
    let qemu = [
        "render",
        "--as",
        "qemu",
        "--guest",
        "linux",
        "--sockets",
        "/run/x",
        "-m",
        unix,
    ];
    let Value::Array(words) = scratch.json(&qemu) else {
        panic!("no list");
    };
    assert_eq!(words[1], "virtio-scsi-pci,id=scsi0");
    let text = scratch.ok(&qemu).stdout;
    assert!(text.contains("\n'{\"discard\""), "{text}");
}

#[test]
fn what_cannot_be_mounted_is_refused_with_an_exit_code_of_its_own() {
    let scratch = Scratch::new();
    let plan = |hypervisor: &str, guest: &str, mount: &str| {
        let run = scratch.run(&[
            "attach",
            "--plan",
            "--hypervisor",
            hypervisor,
            "--guest",
            guest,
            "--mount",
            mount,
        ]);
        (run.code, run.stderr)
    };
    for (hypervisor, guest, mount, code, words) in [
        ("qemu", "linux", "source=nothing,target=/x", 3, "nothing"),
        ("qemu", "linux", "source=a,target=x", 2, "absolute"),
        (
            "qemu",
            "linux",
            "source=a,colour=red,target=/x",
            2,
            "column 10",
        ),
        (
            "qemu",
            "windows",
            r"type=vhd,source=C:\d,target=D:",
            2,
            "Linux host",
        ),
        (
            "hcs",
            "linux",
            r"type=vhd,source=C:\a,fs=refs,target=/x",
            7,
            "no ReFS",
        ),
        (
            "hcs",
            "windows",
            r"type=vhd,source=C:\a,target=D:\x",
            2,
            "another drive",
        ),
        (
            "hcs",
            "windows",
            r"type=smb,source=//s/d,target=D:,password=geheim",
            2,
            "never stands",
        ),
    ] {
        let (found, told) = plan(hypervisor, guest, mount);
        assert_eq!(found, code, "{mount}: {told}");
        assert!(told.contains(words), "{mount}: {told}");
    }
    let smb = r"type=smb,source=//s/d,target=D:";
    let run = scratch.run(&[
        "render", "--as", "oci", "--guest", "windows", "--mount", smb,
    ]);
    assert_eq!(run.code, 7, "{}", run.stderr);
    let run = scratch.run(&[
        "attach",
        "--guest",
        "linux",
        "--mount",
        "source=a,target=/x",
    ]);
    // To which machine?
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(!scratch.path("temporary").exists());
}

#[cfg(unix)]
#[test]
fn a_host_directory_that_is_missing_is_told_unless_it_is_to_be_made() {
    let scratch = Scratch::new();
    let missing = scratch.path("missing");
    let mount = format!("type=bind,source={},target=/x", missing.display());
    let run = scratch.run(&["attach", "--plan", "--guest", "linux", "--mount", &mount]);
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("create"), "{}", run.stderr);
    let mount = format!("{mount},create");
    let plan = scratch.json(&["attach", "--plan", "--guest", "linux", "--mount", &mount]);
    assert_eq!(plan["steps"][0]["action"], "make-directory");
    assert!(!missing.exists());
}

#[cfg(not(windows))]
#[test]
fn the_service_of_windows_is_told_to_be_missing_where_it_is() {
    let scratch = Scratch::new();
    for verb in [&["hcs", "ls"][..], &["hcs", "show", "x"]] {
        let run = scratch.run(verb);
        assert_eq!(run.code, 7, "{}", run.stderr);
        assert!(
            run.stderr.contains("is a part of Windows"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_document_that_hcs_refuses_is_told_by_the_field() {
    let scratch = Scratch::new();
    let document = json!({
        "Owner": "x", "SchemaVersion": {"Major": 2, "Minor": 1},
        "VirtualMachine": {"Devices": {"Plan9": {"Shares": [
            {"Name": "host_share", "Path": "C:\\host\\data", "ReadOnly": false}
        ]}}},
    });
    scratch.write("vm.json", document.to_string().as_bytes());
    let run = scratch.run(&["hcs", "validate", "vm.json", "--json"]);
    assert_eq!(run.code, 1);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        told["problems"][0]["path"],
        "$.VirtualMachine.Devices.Plan9.Shares[0].ReadOnly"
    );
    scratch.write("no.json", b"{\"Owner\": ");
    assert_eq!(scratch.run(&["hcs", "validate", "no.json"]).code, 2);
    assert_eq!(scratch.run(&["hcs", "validate", "absent.json"]).code, 3);
    assert_eq!(
        scratch
            .run(&["hcs", "validate", "vm.json", "--schema", "3.0"])
            .code,
        2
    );
}
