//! The option string of a mount: `size=1G,fs=ntfs,persistent=true,ro`. As in a mount of docker, a field
//! that holds a comma stands in double quotes as a whole, in which two double quotes mean one.
//!
//! What concerns the mount is taken here; the rest is how a volume is made where it is missing, and is
//! read by the store. Every error names the column, from 1.

use super::{Kind, Request};
use crate::failure::{Failure, Result};

/// Options that say how a volume or an image is made.
const OF_MAKING: [&str; 10] = [
    "size", "fs", "format", "type", "block", "sector", "cluster", "layout", "label", "acl",
];

/// One option.
struct Field {
    column: usize,
    key: String,
    value: Option<String>,
}

fn wrong_at(column: usize, what: &str) -> Failure {
    Failure::argument(format!("options_str, column {column}: {what}"))
}

impl Field {
    fn wrong(&self, what: &str) -> Failure {
        wrong_at(self.column, &format!("{:?} {what}", self.key))
    }

    fn flag(&self) -> Result<bool> {
        match self.value.as_deref() {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(self.wrong("is true or false")),
        }
    }

    fn text(&self) -> Result<String> {
        let value = self.value.clone().filter(|value| !value.is_empty());
        value.ok_or_else(|| self.wrong("needs a value"))
    }

    /// A value that the store reads in an option string of its own, which knows no quotes.
    fn plain(&self) -> Result<String> {
        let text = self.text()?;
        match text.contains(',') {
            true => Err(self.wrong("holds a comma")),
            false => Ok(text),
        }
    }
}

impl Request {
    /// Reads it into the request.
    pub(super) fn take_options(&mut self, options: &str) -> Result<()> {
        let fields = fields(options)?;
        let makes = fields.iter().any(|field| field.key == "size");
        let mut making = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            if fields.iter().take(index).any(|one| one.key == field.key) {
                return Err(field.wrong("stands there twice"));
            }
            if let Some(option) = self.take_field(field, makes)? {
                making.push(option);
            }
        }
        if making.is_empty() {
            return Ok(());
        }
        if !matches!(self.kind, Kind::Named | Kind::Image) {
            return Err(Failure::argument(format!(
                "options_str: {:?} means nothing for this type of volume",
                making.join(",")
            )));
        }
        self.made_by = Some(making.join(","));
        Ok(())
    }

    /// Takes one option; what is left for the store.
    fn take_field(&mut self, field: &Field, makes: bool) -> Result<Option<String>> {
        match field.key.as_str() {
            "ro" | "readonly" => self.read_only = field.flag()?,
            "rw" => self.read_only = !field.flag()?,
            "create" => self.create = field.flag()?,
            // Shares bring what is mounted below them in any case.
            "recursive" | "rbind" => drop(field.flag()?),
            "persistent" => self.persistent = field.flag()?,
            "share_name" => self.share_name = Some(field.text()?),
            "username" => self.user = Some(field.text()?),
            "password" => {
                let instead = "never stands there: use containerv_volume_attach_smb_share";
                return Err(field.wrong(instead));
            }
            "size" if self.kind == Kind::Temporary => self.size = Some(field.text()?),
            // Of an image that is there it says what the guest formats it with.
            "fs" if self.kind == Kind::Image && !makes => {
                self.guest_file_system = Some(field.text()?.to_ascii_lowercase());
            }
            // Programs for Windows write it in capitals.
            "fs" => return Ok(Some(format!("fs={}", field.plain()?.to_ascii_lowercase()))),
            key if OF_MAKING.contains(&key) => {
                return Ok(Some(format!("{key}={}", field.plain()?)));
            }
            _ => return Err(field.wrong("is not known")),
        }
        Ok(None)
    }
}

fn fields(options: &str) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    let mut characters = options.chars().enumerate().peekable();
    while characters.peek().is_some() {
        let column = characters.peek().map_or(0, |(at, _)| at + 1);
        let mut field = String::new();
        if characters.next_if(|(_, first)| *first == '"').is_some() {
            loop {
                match characters.next() {
                    Some((_, '"')) if characters.next_if(|(_, next)| *next == '"').is_some() => {
                        field.push('"');
                    }
                    Some((_, '"')) => break,
                    Some((_, other)) => field.push(other),
                    None => return Err(wrong_at(column, "the quote is never closed")),
                }
            }
            if let Some((at, _)) = characters.next_if(|(_, next)| *next != ',') {
                return Err(wrong_at(at + 1, "a comma has to follow the closing quote"));
            }
        }
        while let Some((_, other)) = characters.next_if(|(_, next)| *next != ',') {
            field.push(other);
        }
        // A comma leads to another field, which may be empty.
        let goes_on = characters.next().is_some();
        fields.push(Field::new(column, &field));
        if goes_on && characters.peek().is_none() {
            fields.push(Field::new(options.chars().count() + 1, ""));
        }
    }
    Ok(fields)
}

impl Field {
    fn new(column: usize, field: &str) -> Self {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (field, None),
        };
        Self {
            column,
            key: key.to_owned(),
            value,
        }
    }
}
