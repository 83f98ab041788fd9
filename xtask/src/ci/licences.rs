//! The licences of everything that we link, against the list in `deny.toml`: by `cargo deny` where
//! it is installed, else by a check of our own that reads the same list.

use serde_json::Value;

use super::expression;
use crate::failure::{Failure, Outcome};
use crate::{process, workspace};

pub(super) fn check() -> Outcome {
    if process::find("cargo-deny").is_some() {
        let mut command = process::cargo();
        return process::run(command.args(["deny", "check", "licenses", "bans", "sources"]));
    }
    let policy = Policy::read(&workspace::read_text(&workspace::root().join("deny.toml"))?)?;
    let mut command = process::cargo();
    command.args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Value = serde_json::from_str(&process::capture(&mut command)?)
        .map_err(|error| Failure::new(format!("cargo metadata says no JSON: {error}")))?;
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let faults: Vec<String> = packages
        .iter()
        .filter_map(|package| policy.fault(package))
        .collect();
    if faults.is_empty() {
        println!("licences: {} packages are within deny.toml", packages.len());
        return Ok(());
    }
    Err(Failure::new(faults.join("\n")))
}

/// What `deny.toml` allows.
#[derive(Debug, Default)]
struct Policy {
    /// Allowed for every package.
    allowed: Vec<String>,
    /// Allowed for one package: its name and the licence.
    exceptions: Vec<(String, String)>,
}

impl Policy {
    /// Reads the part of the file that we use: the lists `allow` and `exceptions` of `[licenses]`.
    fn read(text: &str) -> Result<Self, Failure> {
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .collect();
        let text = lines.join("\n");
        let section = text
            .split("\n[")
            .find(|part| part.trim_start_matches('[').starts_with("licenses]"));
        let section = section.ok_or_else(|| Failure::new("deny.toml has no [licenses]"))?;
        let allowed = list(section, "\nallow = [")
            .iter()
            .map(|word| (*word).to_owned())
            .collect();
        let exceptions = list(section, "\nexceptions = [")
            .chunks_exact(2)
            .filter_map(|pair| Some((pair.first()?.to_string(), pair.get(1)?.to_string())))
            .collect();
        Ok(Self {
            allowed,
            exceptions,
        })
    }

    /// What is wrong with a package of `cargo metadata`, if anything.
    fn fault(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        // Ours have no source.
        let source = package["source"].as_str()?;
        if !source.starts_with("registry+") && !source.starts_with("sparse+") {
            return Some(format!(
                "{name} {version} comes from {source}, not from the registry"
            ));
        }
        let Some(licence) = package["license"].as_str() else {
            return Some(format!("{name} {version} names no licence"));
        };
        let allowed = |id: &str| {
            self.allowed.iter().any(|known| known == id)
                || self
                    .exceptions
                    .iter()
                    .any(|(who, known)| who == name && known == id)
        };
        (!expression::holds(licence, &allowed))
            .then(|| format!("{name} {version} is under {licence}, which deny.toml does not allow"))
    }
}

/// The quoted words of the list that opens with `start`, nested lists included.
fn list<'a>(section: &'a str, start: &str) -> Vec<&'a str> {
    let Some((_, rest)) = section.split_once(start) else {
        return Vec::new();
    };
    let mut depth = 1_usize;
    let end = rest.find(|c| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let inside = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    inside.split('"').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[bans]
multiple-versions = "warn"

[licenses]
allow = [
    "MIT", # the usual
    "Apache-2.0",
]
exceptions = [
    { name = "option-ext", allow = ["MPL-2.0"] },
]

[sources]
unknown-git = "deny"
"#;

    fn fault(name: &str, licence: Option<&str>, source: Option<&str>) -> Option<String> {
        let package = serde_json::json!({
            "name": name, "version": "1.0.0", "license": licence, "source": source,
        });
        Policy::read(TEXT).unwrap().fault(&package)
    }

    #[test]
    fn the_lists_are_read() {
        let policy = Policy::read(TEXT).unwrap();
        assert_eq!(policy.allowed, ["MIT", "Apache-2.0"]);
        assert_eq!(
            policy.exceptions,
            [("option-ext".to_owned(), "MPL-2.0".to_owned())]
        );
    }

    #[test]
    fn what_is_not_allowed_is_a_fault() {
        let registry = Some("registry+https://github.com/rust-lang/crates.io-index");
        assert_eq!(fault("a", Some("MIT OR GPL-2.0"), registry), None);
        assert_eq!(fault("option-ext", Some("MPL-2.0"), registry), None);
        assert!(fault("a", Some("MPL-2.0"), registry).is_some());
        assert!(fault("a", None, registry).is_some());
        assert!(fault("a", Some("MIT"), Some("git+https://github.com/a/b")).is_some());
        assert_eq!(fault("ours", None, None), None);
    }
}
