//! Whole trees on NTFS, each put through everything: all validators, three readers of others that must
//! see the source, the kernel's driver in a guest, builds that are equal, and an export that comes
//! back the same.
//!
//! `CVOL_WHOLE=full` makes the trees as large as they are meant to be: 80,000 sources, a million files
//! in one folder, a base layer of 20,000 files, and every reader for `/usr/share` too.

mod crate_walk;
mod facts;
mod judge;
mod kernel;
mod large_folder;
mod names;
mod sources;

use std::path::{Path, PathBuf};

use crate::{tools, tree};

use judge::{Judged, Readers, Tree};

/// Whether the trees have their full size.
fn is_full() -> bool {
    std::env::var("CVOL_WHOLE").is_ok_and(|value| value == "full")
}

/// The corner cases that a folder of Linux can hold.
fn corner_cases(folder: &Path) -> Tree {
    let source = folder.join("corner-cases");
    tree::corner_cases(&source);
    tree::names_by_policy(&source);
    tree::streams(&source);
    Tree {
        size: "20G",
        arguments: vec!["--xattr-streams"],
        folder: Some(source.clone()),
        ..Tree::new("corners", source)
    }
}

/// An archive made by a script, and what is expected of it.
fn archive(folder: &Path, script: &str, arguments: &[&str]) -> Tree {
    let script_path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let archive = folder.join(format!("{script}.tar"));
    let facts = folder.join(format!("{script}.facts"));
    let script_path = script_path.join(format!("{script}.py"));
    // Without files of byte code beside the scripts.
    let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"-B", &script_path, &archive, &facts];
    for argument in arguments {
        all.push(argument);
    }
    tools::run("python3", &all);
    Tree {
        size: "4G",
        expected: facts::read(&facts),
        ..Tree::new("archive", archive)
    }
}

/// A tree like the sources of a kernel.
fn kernel_sources(folder: &Path) -> Tree {
    let source = folder.join("sources");
    sources::make(&source, if is_full() { 80_000 } else { 5000 });
    Tree {
        size: "8G",
        folder: Some(source.clone()),
        ..Tree::new("sources", source)
    }
}

fn base_layer(folder: &Path) -> Tree {
    let count = if is_full() { "20000" } else { "1500" };
    archive(folder, "windows_layer", &[count])
}

fn usr_share() -> Tree {
    let source = PathBuf::from("/usr/share");
    Tree {
        folder: Some(source.clone()),
        readers: if is_full() {
            Readers::All
        } else {
            Readers::ButDissect
        },
        ..Tree::new("share", source)
    }
}

#[test]
fn corner_cases_of_linux_are_the_same_to_every_reader() {
    let folder = tempfile::tempdir().unwrap();
    let Some(judged) = Judged::begin() else {
        return;
    };
    judged.tree(&corner_cases(folder.path()));
}

#[test]
fn corner_cases_of_windows_are_the_same_to_every_reader() {
    let folder = tempfile::tempdir().unwrap();
    let Some(judged) = Judged::begin() else {
        return;
    };
    judged.tree(&archive(folder.path(), "windows_corners", &[]));
}

#[test]
fn a_windows_base_layer_is_the_same_to_every_reader() {
    let folder = tempfile::tempdir().unwrap();
    let Some(judged) = Judged::begin() else {
        return;
    };
    judged.tree(&base_layer(folder.path()));
}

#[test]
fn a_tree_like_the_sources_of_a_kernel_is_the_same_to_every_reader() {
    let folder = tempfile::tempdir().unwrap();
    let Some(judged) = Judged::begin() else {
        return;
    };
    judged.tree(&kernel_sources(folder.path()));
}

#[test]
fn usr_share_is_the_same_to_every_reader() {
    let Some(judged) = Judged::begin() else {
        return;
    };
    judged.tree(&usr_share());
}
