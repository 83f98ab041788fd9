//! Who may import whom: the layers, downward only, as `cargo metadata` sees them. Edges for tests
//! and build scripts count like any others; what needs two houses at once is tested in `e2e`.

use serde_json::Value;

use super::Findings;
use crate::failure::Failure;
use crate::{process, workspace};

/// Each crate with those of ours that it may import.
const LAYERS: &[(&str, &[&str])] = &[
    ("blockio", &[]),
    ("guest_proto", &[]),
    ("vdisk", &["blockio"]),
    ("mkfs", &["blockio"]),
    ("bitlocker", &["blockio"]),
    ("nbd", &["blockio"]),
    ("guest_agent", &["guest_proto"]),
    ("volume", &["vdisk", "mkfs", "blockio"]),
    ("attach", &["guest_proto"]),
    ("hcs_double", &["attach", "vdisk", "blockio"]),
    ("virtdisk_double", &["attach"]),
    ("engine", &["volume", "attach", "nbd", "vdisk", "blockio"]),
    ("cli", &["engine"]),
    ("daemon", &["engine"]),
    ("capi", &["engine"]),
    ("xtask", &[]),
];

/// Tests alone, of everything.
const IMPORTS_ANYTHING: &str = "e2e";

/// Crates of others that are kept behind one of ours.
const FENCED: &[(&str, &str)] = &[
    ("tokio", "daemon"),
    ("rusqlite", "volume"),
    ("clap", "cli"),
    ("indicatif", "cli"),
];

pub(crate) fn check(findings: &mut Findings) -> Result<(), Failure> {
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps"]);
    let text = process::capture(&mut command)?;
    let metadata: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("cargo metadata says no JSON: {error}")))?;
    check_metadata(&metadata, findings);
    for package in packages(&metadata) {
        check_lints(package, findings)?;
    }
    Ok(())
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn check_metadata(metadata: &Value, findings: &mut Findings) {
    let ours: Vec<&str> = packages(metadata)
        .filter_map(|package| package["name"].as_str())
        .collect();
    for package in packages(metadata) {
        let name = package["name"].as_str().unwrap_or_default();
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for imported in dependencies.filter_map(|dependency| dependency["name"].as_str()) {
            if ours.contains(&imported) {
                check_edge(name, imported, findings);
            }
            for (fenced, home) in FENCED {
                if imported == *fenced && name != *home && name != IMPORTS_ANYTHING {
                    findings.error(name, format!("{fenced} is kept behind {home}"));
                }
            }
        }
        if name != IMPORTS_ANYTHING && !LAYERS.iter().any(|(known, _)| *known == name) {
            findings.error(
                name,
                "this crate is not in the table of layers (tidy/imports.rs)",
            );
        }
    }
}

fn check_edge(name: &str, imported: &str, findings: &mut Findings) {
    if name == IMPORTS_ANYTHING {
        return;
    }
    let row = LAYERS.iter().find(|(known, _)| *known == name);
    if !row.is_some_and(|(_, allowed)| allowed.contains(&imported)) {
        findings.error(name, format!("may not import {imported}"));
    }
}

/// Every crate takes the lints of the workspace.
fn check_lints(package: &Value, findings: &mut Findings) -> Result<(), Failure> {
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let text = workspace::read_text(std::path::Path::new(manifest))?;
    if !text.contains("[lints]\nworkspace = true") {
        let name = package["name"].as_str().unwrap_or_default();
        findings.error(
            name,
            "the manifest does not take the lints of the workspace",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(packages: &[(&str, &[&str])]) -> Vec<String> {
        let packages: Vec<Value> = packages
            .iter()
            .map(|(name, imports)| {
                let imports: Vec<Value> = imports
                    .iter()
                    .map(|name| serde_json::json!({ "name": name }))
                    .collect();
                serde_json::json!({ "name": name, "dependencies": imports })
            })
            .collect();
        let mut findings = Findings::default();
        check_metadata(&serde_json::json!({ "packages": packages }), &mut findings);
        findings.errors().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn edges_downward_are_allowed() {
        let packages: &[(&str, &[&str])] = &[
            ("blockio", &["thiserror"]),
            ("vdisk", &["blockio"]),
            ("e2e", &["blockio", "vdisk", "tokio"]),
        ];
        assert_eq!(errors(packages), Vec::<String>::new());
    }

    #[test]
    fn edges_upward_and_sideways_are_refused() {
        let packages: &[(&str, &[&str])] =
            &[("blockio", &["vdisk"]), ("vdisk", &["mkfs"]), ("mkfs", &[])];
        assert_eq!(
            errors(packages),
            ["may not import vdisk", "may not import mkfs"]
        );
    }

    #[test]
    fn fences_and_unknown_crates_are_seen() {
        let packages: &[(&str, &[&str])] = &[("volume", &["tokio"]), ("newcomer", &[])];
        assert_eq!(errors(packages).len(), 2);
    }
}
