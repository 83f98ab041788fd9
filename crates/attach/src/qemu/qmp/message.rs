//! What a line from a monitor says.

use serde_json::{Map, Value};

use super::error::QmpErrorClass;

/// The longest text of QEMU that is passed on.
const LONGEST_DESCRIPTION: usize = 1000;

/// What QEMU says of itself first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its version: major, minor, micro.
    pub version: (u64, u64, u64),
}

/// What QEMU tells unasked.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name, as `DEVICE_DELETED`.
    pub name: String,
    /// What it is about.
    pub data: Value,
}

impl Event {
    /// A text in what it is about.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.data.get(field).and_then(Value::as_str)
    }
}

/// A line, read.
#[derive(Debug)]
pub(super) enum Message {
    Greeting(Greeting),
    Event(Event),
    Answer {
        /// The number of the command; none in answers to what QEMU could not read.
        id: Option<Value>,
        answer: Result<Value, Refusal>,
    },
}

#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) class: QmpErrorClass,
    pub(super) description: String,
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<Message, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let Value::Object(mut fields) = value else {
        return Err("a line that is no object".to_owned());
    };
    let id = fields.remove("id");
    if let Some(greeting) = fields.get("QMP") {
        return Ok(Message::Greeting(greeting_of(greeting)));
    }
    if let Some(name) = fields.get("event") {
        let name = name.as_str().ok_or("an event without a name")?.to_owned();
        let data = fields.remove("data").unwrap_or(Value::Null);
        return Ok(Message::Event(Event { name, data }));
    }
    if let Some(error) = fields.get("error") {
        let answer = Err(refusal(error).ok_or("an error that does not say which")?);
        return Ok(Message::Answer { id, answer });
    }
    match fields.remove("return") {
        Some(value) => Ok(Message::Answer {
            id,
            answer: Ok(value),
        }),
        None => Err(format!("an object with {}", names(&fields))),
    }
}

fn greeting_of(greeting: &Value) -> Greeting {
    let number = |name: &str| {
        let number = greeting.pointer(&format!("/version/qemu/{name}"));
        number.and_then(Value::as_u64).unwrap_or(0)
    };
    Greeting {
        version: (number("major"), number("minor"), number("micro")),
    }
}

fn refusal(error: &Value) -> Option<Refusal> {
    let class = match error.get("class")?.as_str()? {
        "CommandNotFound" => QmpErrorClass::CommandNotFound,
        "DeviceNotFound" => QmpErrorClass::DeviceNotFound,
        _ => QmpErrorClass::Other,
    };
    let description = error.get("desc")?.as_str()?;
    Some(Refusal {
        class,
        description: description.chars().take(LONGEST_DESCRIPTION).collect(),
    })
}

/// The first names of an object, for a message.
fn names(fields: &Map<String, Value>) -> String {
    let names: Vec<String> = fields
        .keys()
        .take(4)
        .map(|name| name.chars().take(40).collect())
        .collect();
    format!("the fields {names:?}")
}
