//! Whether the service would take a document, and which field it would not.
//!
//! Only what is about storage is looked into; other devices are taken as they are. What is checked of
//! values beyond their kind: that fields are as old as the version of the document, that at most one
//! of the exclusive parts is there, and what a request for a change may ask of which resource.

use serde_json::Value;

use crate::guest::SchemaVersion;

use super::fields::{
    ATTACHMENT, COMPUTE_SYSTEM, Key, Kind, MAPPED_DIRECTORY, MAPPED_PIPE, MODIFY_REQUEST,
    PLAN9_SHARE, Structure, VIRTUAL_PMEM_DEVICE, VIRTUAL_PMEM_MAPPING, VIRTUAL_SMB_SHARE,
};

/// Levels of a document that are looked into; no honest one has as many.
const MAX_DEPTH: usize = 32;
/// Problems that are told of one document.
const MAX_PROBLEMS: usize = 100;

/// What a document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// Making a system.
    ComputeSystem,
    /// Changing one that runs.
    Modify,
}

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The place, as `$.VirtualMachine.Devices`.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// What the service would not take of a document of this version; nothing where it would take it.
pub fn validate(document: &Value, kind: DocumentKind, version: SchemaVersion) -> Vec<Problem> {
    let mut validator = Validator {
        version,
        problems: Vec::new(),
    };
    match kind {
        DocumentKind::ComputeSystem => {
            validator.object(document, &COMPUTE_SYSTEM, "$", 0);
            validator.own_version(document);
        }
        DocumentKind::Modify => {
            validator.object(document, &MODIFY_REQUEST, "$", 0);
            validator.modification(document);
        }
    }
    validator.problems
}

struct Validator {
    version: SchemaVersion,
    problems: Vec<Problem>,
}

impl Validator {
    fn problem(&mut self, path: &str, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                path: path.to_owned(),
                message: message.into(),
            });
        }
    }

    fn value(&mut self, value: &Value, kind: Kind, path: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return self.problem(path, "is nested too deep");
        }
        let is = |right: bool| if right { None } else { Some(expected(kind)) };
        let wrong = match kind {
            Kind::Anything => None,
            Kind::Bool => is(value.is_boolean()),
            Kind::Text => is(value.is_string()),
            Kind::Signed => is(value.as_i64().is_some_and(|n| i32::try_from(n).is_ok())),
            Kind::Unsigned(bits) => {
                let fits = |n: u64| bits >= 64 || n >> bits == 0;
                is(value.as_u64().is_some_and(fits))
            }
            Kind::Word(words) => is(value.as_str().is_some_and(|word| words.contains(&word))),
            Kind::Object(structure) => return self.object(value, structure, path, depth),
            Kind::List(item) => return self.list(value, *item, path, depth),
            Kind::Map(key, item) => return self.map(value, key, *item, path, depth),
        };
        if let Some(expected) = wrong {
            self.problem(
                path,
                format!("is {} and has to be {expected}", shown(value)),
            );
        }
    }

    fn object(&mut self, value: &Value, structure: &'static Structure, path: &str, depth: usize) {
        let Value::Object(found) = value else {
            let message = format!("is {} and has to be an object", shown(value));
            return self.problem(path, message);
        };
        for (name, value) in found {
            let at = format!("{path}.{name}");
            match structure.fields.iter().find(|field| field.name == name) {
                None => {
                    let hint = hint(structure, name);
                    self.problem(&at, format!("{} has no such field{hint}", structure.name));
                }
                Some(field) if field.since > self.version => {
                    let (since, version) = (field.since, self.version);
                    let message = format!("exists since {since}, the document is for {version}");
                    self.problem(&at, message);
                }
                Some(field) => self.value(value, field.kind, &at, depth + 1),
            }
        }
        for field in structure.fields.iter().filter(|field| field.required) {
            if !found.contains_key(field.name) {
                self.problem(&format!("{path}.{}", field.name), "is missing");
            }
        }
        let mut present = structure
            .exclusive
            .iter()
            .filter(|name| found.contains_key(**name));
        if let (Some(first), Some(second)) = (present.next(), present.next()) {
            let message = format!("cannot be there beside {first}");
            self.problem(&format!("{path}.{second}"), message);
        }
    }

    fn list(&mut self, value: &Value, item: Kind, path: &str, depth: usize) {
        let Value::Array(items) = value else {
            let message = format!("is {} and has to be a list", shown(value));
            return self.problem(path, message);
        };
        for (index, value) in items.iter().enumerate() {
            self.value(value, item, &format!("{path}[{index}]"), depth + 1);
        }
    }

    fn map(&mut self, value: &Value, key: Key, item: Kind, path: &str, depth: usize) {
        let Value::Object(entries) = value else {
            let message = format!("is {} and has to be an object", shown(value));
            return self.problem(path, message);
        };
        for (name, value) in entries {
            let at = format!("{path}.{name}");
            if let Key::Below(limit) = key
                && name.parse::<u32>().map_or(true, |number| number >= limit)
            {
                self.problem(&at, format!("has to be named by a number below {limit}"));
            }
            self.value(value, item, &at, depth + 1);
        }
    }

    /// The version that a document is for must be the one it is held against.
    fn own_version(&mut self, document: &Value) {
        let number = |name: &str| document["SchemaVersion"][name].as_u64();
        let (Some(major), Some(minor)) = (number("Major"), number("Minor")) else {
            return;
        };
        let own = (u64::from(self.version.major), u64::from(self.version.minor));
        if (major, minor) != own {
            let message = format!("is {major}.{minor}, and {} was asked for", self.version);
            self.problem("$.SchemaVersion", message);
        }
    }

    /// What may be asked of a resource, and what its settings have to be.
    fn modification(&mut self, document: &Value) {
        let resource_path = document["ResourcePath"].as_str().unwrap_or_default();
        if resource_path.is_empty() {
            if document.get("GuestRequest").is_none() {
                self.problem(
                    "$.ResourcePath",
                    "is missing, and nothing is asked of the guest",
                );
            }
            return;
        }
        let Some(verb) = document["RequestType"].as_str() else {
            return self.problem("$.RequestType", "is missing");
        };
        let Some(resource) = resource(resource_path) else {
            return self.problem("$.ResourcePath", "names no resource of storage");
        };
        if !resource.verbs.contains(&verb) {
            let verbs = resource.verbs.join(" or ");
            let message = format!("is {verb} and has to be {verbs} here");
            return self.problem("$.RequestType", message);
        }
        match (document.get("Settings"), resource.settings) {
            // What is removed from a controller is named by its path, and the settings are not read.
            (None, None) | (_, None) => {}
            (None, Some(_)) if verb == "Remove" && resource.named_by_path => {}
            (None, Some(_)) => self.problem("$.Settings", "is missing"),
            (Some(settings), Some(structure)) => self.object(settings, structure, "$.Settings", 1),
        }
    }
}

struct Resource {
    verbs: &'static [&'static str],
    settings: Option<&'static Structure>,
    /// Whether its path alone says which it is.
    named_by_path: bool,
}

/// The resource at a path of the machine or a container.
fn resource(path: &str) -> Option<Resource> {
    const ALL: &[&str] = &["Add", "Remove", "Update"];
    const BOTH: &[&str] = &["Add", "Remove"];
    let new = |verbs, settings, named_by_path| {
        Some(Resource {
            verbs,
            settings,
            named_by_path,
        })
    };
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["VirtualMachine", "Devices", rest @ ..] => match rest {
            ["Scsi", controller, "Attachments", lun]
                if !controller.is_empty() && lun.parse::<u8>().is_ok() =>
            {
                new(ALL, Some(&ATTACHMENT), true)
            }
            ["Plan9", "Shares"] => new(ALL, Some(&PLAN9_SHARE), false),
            ["VirtualSmb", "Shares"] => new(ALL, Some(&VIRTUAL_SMB_SHARE), false),
            ["VirtualPMem", "Devices", number] if number.parse::<u8>().is_ok() => {
                new(BOTH, Some(&VIRTUAL_PMEM_DEVICE), true)
            }
            ["VirtualPMem", "Devices", number, "Mappings", offset]
                if number.parse::<u8>().is_ok() && offset.parse::<u64>().is_ok() =>
            {
                new(BOTH, Some(&VIRTUAL_PMEM_MAPPING), true)
            }
            ["MappedPipes", name] if !name.is_empty() => new(BOTH, None, true),
            ["FlexibleIov", id] if !id.is_empty() => new(&["Add"], None, true),
            _ => None,
        },
        ["Container", "MappedDirectories"] => new(BOTH, Some(&MAPPED_DIRECTORY), false),
        ["Container", "MappedPipes"] => new(BOTH, Some(&MAPPED_PIPE), false),
        _ => None,
    }
}

/// What somebody probably meant who wrote a field that is none.
fn hint(structure: &Structure, name: &str) -> String {
    if structure.name == "Plan9Share" && name == "ReadOnly" {
        return ": read-only is bit 1 of Flags".to_owned();
    }
    let mut fields = structure.fields.iter();
    match fields.find(|field| field.name.eq_ignore_ascii_case(name)) {
        Some(field) => format!(": it is spelled {}", field.name),
        None => String::new(),
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Text => "a text".to_owned(),
        Kind::Signed => "a whole number of 32 bits".to_owned(),
        Kind::Unsigned(bits) => format!("a whole number of {bits} bits from 0"),
        Kind::Word(words) => words.join(", "),
        Kind::Object(_) | Kind::Map(..) => "an object".to_owned(),
        Kind::List(_) => "a list".to_owned(),
        Kind::Anything => "anything".to_owned(),
    }
}

/// A value in a message, cut where it is long.
fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => {
            let cut: String = text.chars().take(40).collect();
            format!("{cut:?}")
        }
        other => other.to_string(),
    }
}
