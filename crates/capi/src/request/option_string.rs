//! The option string of a mount: `size=1G,fs=ntfs,persistent=true,ro`.
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
struct Field<'a> {
    column: usize,
    key: &'a str,
    value: Option<&'a str>,
}

impl Field<'_> {
    fn wrong(&self, what: &str) -> Failure {
        let (column, key) = (self.column, self.key);
        Failure::argument(format!("options_str, column {column}: {key:?} {what}"))
    }

    fn flag(&self) -> Result<bool> {
        match self.value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(_) => Err(self.wrong("is true or false")),
        }
    }

    fn text(&self) -> Result<String> {
        let value = self.value.filter(|value| !value.is_empty());
        value
            .map(str::to_owned)
            .ok_or_else(|| self.wrong("needs a value"))
    }
}

impl Request {
    /// Reads it into the request.
    pub(super) fn take_options(&mut self, options: &str) -> Result<()> {
        let fields = fields(options);
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
    fn take_field(&mut self, field: &Field<'_>, makes: bool) -> Result<Option<String>> {
        match field.key {
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
            "fs" => return Ok(Some(format!("fs={}", field.text()?.to_ascii_lowercase()))),
            key if OF_MAKING.contains(&key) => {
                return Ok(Some(format!("{key}={}", field.text()?)));
            }
            _ => return Err(field.wrong("is not known")),
        }
        Ok(None)
    }
}

fn fields(options: &str) -> Vec<Field<'_>> {
    if options.is_empty() {
        return Vec::new();
    }
    let mut column = 1;
    let fields = options.split(',').map(|field| {
        let at = column;
        column += field.chars().count() + 1;
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field, None),
        };
        Field {
            column: at,
            key,
            value,
        }
    });
    fields.collect()
}
