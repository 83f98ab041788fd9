//! What is told of machines: lists, states, figures. Queries are held against what they may ask for.

use serde_json::{Map, Value, json};

use crate::codes::{INVALID_JSON, NOT_FOUND, Refusal, SYSTEM_NOT_FOUND, refusal};
use crate::host::{HostModel, MachineModel, MachineState};

/// Queries beside the types, since 2.5.
const QUERIES_SINCE: u32 = 5;
const SYSTEM_PROPERTIES: [&str; 8] = [
    "Memory",
    "GuestMemory",
    "Statistics",
    "ProcessList",
    "TerminateOnLastHandleClosed",
    "SharedMemoryRegion",
    "GuestConnection",
    "ICHeartbeatStatus",
];
const SERVICE_PROPERTIES: [&str; 4] = ["Basic", "Memory", "CpuGroup", "ProcessorTopology"];
/// What systems can be chosen by.
const CHOICES: [&str; 4] = ["Ids", "Names", "Types", "Owners"];

/// A query that has these fields at most; none at all is an empty one.
fn query(text: &str, fields: &[&str]) -> Result<Map<String, Value>, Refusal> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    let wrong = |words: String| refusal(INVALID_JSON, words);
    let query: Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("no JSON: {error}")))?;
    let Value::Object(query) = query else {
        return Err(wrong("a query is an object".to_owned()));
    };
    match query.keys().find(|name| !fields.contains(&name.as_str())) {
        Some(name) => Err(wrong(format!("$.{name}: a query has no such field"))),
        None => Ok(query),
    }
}

/// The texts of a list.
fn texts(query: &Map<String, Value>, name: &str) -> Result<Vec<String>, Refusal> {
    let Some(list) = query.get(name) else {
        return Ok(Vec::new());
    };
    let wrong = || refusal(INVALID_JSON, format!("$.{name}: has to be a list of texts"));
    let list = list.as_array().ok_or_else(wrong)?;
    let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(wrong);
    list.iter().map(text).collect()
}

/// The types of properties that are asked for.
fn types(query: &Map<String, Value>, known: &[&str]) -> Result<Vec<String>, Refusal> {
    let types = texts(query, "PropertyTypes")?;
    match types.iter().find(|kind| !known.contains(&kind.as_str())) {
        Some(kind) => {
            let words = format!("$.PropertyTypes: there is no {kind}");
            Err(refusal(INVALID_JSON, words))
        }
        None => Ok(types),
    }
}

/// Properties of a machine. Its figures move each time.
pub(crate) fn properties(
    host: &mut HostModel,
    id: &str,
    text: &str,
) -> Result<Option<String>, Refusal> {
    let fields: &[&str] = match host.newest_minor >= QUERIES_SINCE {
        true => &["PropertyTypes", "Queries"],
        false => &["PropertyTypes"],
    };
    let types = types(&query(text, fields)?, &SYSTEM_PROPERTIES)?;
    let machine = host.machines.get_mut(id);
    let machine = machine.ok_or_else(|| refusal(SYSTEM_NOT_FOUND, "no such system"))?;
    let mut told = summary(id, machine);
    if machine.state == MachineState::Stopped {
        told["Stopped"] = json!(true);
        told["ExitType"] = json!("GracefulExit");
    }
    for kind in &types {
        match kind.as_str() {
            "Statistics" => {
                machine.looked_at += 1;
                told["Statistics"] = json!({"Storage": figures(machine)});
            }
            "TerminateOnLastHandleClosed" => {
                told["TerminateOnLastHandleClosed"] = json!(machine.ends_with_handle);
            }
            // Of the rest the double knows nothing, and a field that is nothing is left out.
            _ => {}
        }
    }
    Ok(Some(told.to_string()))
}

/// Each look finds more, by the disks that there are. A figure of zero is left out, as the service does.
fn figures(machine: &MachineModel) -> Value {
    let writable = machine.disks.values().filter(|disk| !disk.read_only);
    let count = |disks: usize| u64::try_from(disks).unwrap_or_default();
    let reads = machine.looked_at * (count(machine.disks.len()) + 1);
    let writes = machine.looked_at * count(writable.count());
    let mut figures = Map::new();
    for (name, figure) in [
        ("ReadCountNormalized", reads),
        ("ReadSizeBytes", reads * 8192),
        ("WriteCountNormalized", writes),
        ("WriteSizeBytes", writes * 8192),
    ] {
        if figure != 0 {
            figures.insert(name.to_owned(), json!(figure));
        }
    }
    Value::Object(figures)
}

fn summary(id: &str, machine: &MachineModel) -> Value {
    json!({
        "Id": id, "SystemType": "VirtualMachine", "Owner": machine.owner, "RuntimeId": id,
        "State": format!("{:?}", machine.state), "RuntimeOsType": format!("{:?}", machine.guest),
    })
}

/// The machines that a query asks for.
pub(crate) fn list(host: &HostModel, text: &str) -> Result<Option<String>, Refusal> {
    let query = query(text, &CHOICES)?;
    let (ids, names) = (texts(&query, "Ids")?, texts(&query, "Names")?);
    let (kinds, owners) = (texts(&query, "Types")?, texts(&query, "Owners")?);
    let wants = |choice: &[String], value: &str| {
        choice.is_empty() || choice.iter().any(|wanted| wanted == value)
    };
    let machines = host.machines.iter().filter(|(id, machine)| {
        let by_name = wants(&ids, id) && wants(&names, id);
        by_name && wants(&kinds, "VirtualMachine") && wants(&owners, &machine.owner)
    });
    let list: Vec<Value> = machines.map(|(id, machine)| summary(id, machine)).collect();
    Ok(Some(json!(list).to_string()))
}

/// Properties of the service.
pub(crate) fn service(host: &HostModel, text: &str) -> Result<String, Refusal> {
    let types = types(&query(text, &["PropertyTypes"])?, &SERVICE_PROPERTIES)?;
    let mut told = Vec::new();
    for kind in types {
        if kind != "Basic" {
            return Err(refusal(NOT_FOUND, format!("the double knows no {kind}")));
        }
        let versions = [(1, 0), (2, 0), (2, host.newest_minor)];
        let versions = versions.map(|(major, minor)| json!({"Major": major, "Minor": minor}));
        told.push(json!({"SupportedSchemaVersions": versions}));
    }
    Ok(json!({"Properties": told}).to_string())
}
