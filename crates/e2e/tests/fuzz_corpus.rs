//! Every committed input of the fuzz targets, given to the bodies of the targets. An input that once
//! brought a target down stays here and must not do so again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;

/// What a target does with an input.
type Body = fn(&[u8]);

/// Each target with its body.
const TARGETS: &[(&str, Body)] = &[
    ("vhdx_open", vdisk::vhdx::fuzz_open),
    ("vhdx_changes", vdisk::vhdx::fuzz_open_fixed),
    ("vhdx_child", vdisk::vhdx::fuzz_child),
    ("vhd_open", vdisk::vhd::fuzz_open),
    ("qcow2_open", vdisk::qcow2::fuzz_open),
    ("repair", vdisk::fuzz_repair),
    ("nbd_session", |data| drop(nbd::fuzz_session(data))),
    ("ledger", |data| {
        assert!(attach::ledger::fuzz_document(data));
    }),
    ("qmp_answers", |data| {
        attach::qemu::qmp::fuzz_answers(data);
    }),
    ("guest_channel", |data| {
        guest_proto::fuzz_channel(data);
    }),
    ("gpt", mkfs::gpt::fuzz_gpt),
    ("ntfs_fsck", mkfs::ntfs::fsck::fuzz_ntfs),
    ("option_string", volume::fuzz_spec),
    ("names", volume::fuzz_name),
    ("sddl", mkfs::security::fuzz_sddl),
    ("tar_import", volume::tar_tree::fuzz_import),
];

fn fuzz_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn replay(name: &str) {
    let (_, body) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(fuzz_folder().join("corpus").join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{name} has no corpus");
    for input in inputs {
        // Shown by the test runner only where the target falls.
        println!("{}", input.display());
        body(&std::fs::read(&input).unwrap());
    }
}

#[test]
fn no_committed_input_brings_vhdx_open_down() {
    replay("vhdx_open");
}

#[test]
fn no_committed_input_brings_vhdx_changes_down() {
    replay("vhdx_changes");
}

#[test]
fn no_committed_input_brings_vhdx_child_down() {
    replay("vhdx_child");
}

#[test]
fn no_committed_input_brings_qcow2_open_down() {
    replay("qcow2_open");
}

#[test]
fn no_committed_input_brings_repair_down() {
    replay("repair");
}

#[test]
fn no_committed_input_brings_vhd_open_down() {
    replay("vhd_open");
}

#[test]
fn no_committed_input_brings_nbd_session_down() {
    replay("nbd_session");
}

#[test]
fn no_committed_input_brings_ledger_down() {
    replay("ledger");
}

#[test]
fn no_committed_input_brings_qmp_answers_down() {
    replay("qmp_answers");
}

#[test]
fn no_committed_input_brings_guest_channel_down() {
    replay("guest_channel");
}

#[test]
fn no_committed_input_brings_gpt_down() {
    replay("gpt");
}

#[test]
fn no_committed_input_brings_ntfs_fsck_down() {
    replay("ntfs_fsck");
}

#[test]
fn no_committed_input_brings_option_string_down() {
    replay("option_string");
}

#[test]
fn no_committed_input_brings_names_down() {
    replay("names");
}

#[test]
fn no_committed_input_brings_sddl_down() {
    replay("sddl");
}

#[test]
fn no_committed_input_brings_tar_import_down() {
    replay("tar_import");
}

#[test]
fn every_fuzz_target_is_replayed_here() {
    let mut targets: Vec<String> = std::fs::read_dir(fuzz_folder().join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    targets.sort();
    let mut replayed: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    replayed.sort_unstable();
    assert_eq!(targets, replayed);
}
