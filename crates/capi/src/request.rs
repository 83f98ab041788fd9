//! A mount as C asks for it, in types: what it is, and what has to be made for it before.

mod option_string;

use secrecy::SecretString;

use crate::failure::{Failure, Result};
use crate::types::{
    EnumValue, containerv_mount, containerv_windows_mount_options, containerv_windows_volume,
};
use crate::{text, volumes};

/// What stands behind a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A volume of the store.
    Named,
    /// An image, by its path.
    Image,
    /// A directory or file of the host.
    Bind,
    /// A share of a server.
    Smb,
    /// A file system that is gone after the tear-down.
    Temporary,
}

/// A mount.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// The name, path or share; empty for a temporary one.
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    /// Whether a directory of the host is made where it is missing.
    pub(crate) create: bool,
    /// How much a temporary one may hold, as an option has it.
    pub(crate) size: Option<String>,
    /// What is on an image; the guest formats it so where it holds nothing.
    pub(crate) guest_file_system: Option<String>,
    pub(crate) share_name: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    /// The options of a volume or image that is made where it is missing; `None` to make nothing.
    pub(crate) made_by: Option<String>,
    /// Whether what is made stays after the container.
    pub(crate) persistent: bool,
}

const BIND: u32 = 0x1;
const RECURSIVE: u32 = 0x2;
const READONLY: u32 = 0x4;
const CREATE: u32 = 0x100;

impl Request {
    fn new(kind: Kind, source: String, target: String) -> Self {
        Self {
            kind,
            source,
            target,
            read_only: false,
            create: false,
            size: None,
            guest_file_system: None,
            share_name: None,
            user: None,
            password: None,
            made_by: None,
            persistent: true,
        }
    }

    /// A share with who logs in.
    pub(crate) fn smb(
        share: String,
        target: String,
        user: Option<String>,
        password: Option<SecretString>,
    ) -> Self {
        Self {
            user,
            password,
            ..Self::new(Kind::Smb, share, target)
        }
    }

    /// What `containerv_options_add_volume` is given; without a type, that of the driver.
    pub(crate) fn from_words(
        source: Option<String>,
        target: String,
        kind: Kind,
        options: &str,
    ) -> Result<Self> {
        let source = source.unwrap_or_default();
        // "vhd" stands for both: an image by its path, and a volume by its name.
        let kind = match kind {
            Kind::Image if !is_path(&source) => Kind::Named,
            kind => kind,
        };
        let mut request = Self::new(kind, source, target);
        request.take_options(options)?;
        request.check()?;
        Ok(request)
    }

    /// What a `struct containerv_windows_volume` says.
    ///
    /// # Safety
    /// Its texts are NULL or valid, as for [`text::required`].
    pub(crate) unsafe fn from_volume(volume: &containerv_windows_volume) -> Result<Self> {
        // SAFETY: promised by the caller.
        let (source, target, name, file_system) = unsafe {
            (
                text::optional(volume.source_path, "source_path")?,
                text::required(volume.target_path, "target_path")?,
                text::optional(volume.volume_name, "volume_name")?,
                text::optional(volume.filesystem, "filesystem")?,
            )
        };
        let kind = kind_of(volume.r#type)?;
        let source = match kind {
            Kind::Named => name.or(source),
            _ => source,
        };
        let mut request = Self::new(kind, source.unwrap_or_default(), target);
        request.read_only = volume.read_only != 0;
        request.take_size(volume.size_mb, file_system.as_deref())?;
        request.check()?;
        Ok(request)
    }

    /// What a `struct containerv_mount` says.
    ///
    /// # Safety
    /// As for [`Request::from_volume`].
    pub(crate) unsafe fn from_mount(mount: &containerv_mount) -> Result<Self> {
        // SAFETY: promised by the caller.
        let (what, target, file_system) = unsafe {
            (
                text::optional(mount.what, "what")?,
                text::required(mount.r#where, "where")?,
                text::optional(mount.fstype, "fstype")?,
            )
        };
        let what = what.unwrap_or_default();
        check_flags(mount.flags, &target)?;
        let file_system = file_system.map(|name| name.to_ascii_lowercase());
        let (kind, on_disk) = match file_system.as_deref() {
            Some("bind") => (Kind::Bind, None),
            Some("" | "none") | None if mount.flags & BIND != 0 || is_path(&what) => {
                (Kind::Bind, None)
            }
            Some("" | "none" | "volume") | None => (Kind::Named, None),
            Some("vhd" | "vhdx") if is_path(&what) => (Kind::Image, None),
            Some("vhd" | "vhdx") => (Kind::Named, None),
            Some(name @ ("ntfs" | "refs" | "fat32" | "ext4" | "xfs")) => {
                (Kind::Image, Some(name.to_owned()))
            }
            Some("smb" | "smb3" | "cifs") => (Kind::Smb, None),
            Some("tmpfs") => (Kind::Temporary, None),
            Some(other) => {
                return Err(Failure::argument(format!(
                    "the mount at {target:?} has the file system {other:?}, which is not known"
                )));
            }
        };
        let source = if kind == Kind::Temporary {
            // Linux has a word there that means nothing.
            String::new()
        } else {
            what
        };
        let mut request = Self::new(kind, source, target);
        request.read_only = mount.flags & READONLY != 0;
        request.create = mount.flags & CREATE != 0;
        request.guest_file_system = on_disk;
        request.check()?;
        Ok(request)
    }

    /// What the two structs say together.
    ///
    /// # Safety
    /// As for [`Request::from_volume`], of both.
    pub(crate) unsafe fn from_mount_with(
        mount: &containerv_mount,
        options: &containerv_windows_mount_options,
    ) -> Result<Self> {
        // SAFETY: promised by the caller.
        let (what, target, file_system, share_name) = unsafe {
            (
                text::optional(mount.what, "what")?,
                text::required(mount.r#where, "where")?,
                text::optional(options.filesystem, "filesystem")?,
                text::optional(options.share_name, "share_name")?,
            )
        };
        check_flags(mount.flags, &target)?;
        let kind = kind_of(options.r#type)?;
        let source = match kind {
            Kind::Temporary => String::new(),
            _ => what.unwrap_or_default(),
        };
        let mut request = Self::new(kind, source, target);
        request.read_only = mount.flags & READONLY != 0;
        request.create = mount.flags & CREATE != 0;
        request.share_name = share_name;
        request.persistent = options.persistent != 0;
        request.take_size(options.size_mb, file_system.as_deref())?;
        request.check()?;
        Ok(request)
    }

    /// A size and a file system, which mean what the kind makes of them.
    fn take_size(&mut self, size_mb: u64, file_system: Option<&str>) -> Result<()> {
        match self.kind {
            Kind::Temporary if size_mb != 0 => self.size = Some(format!("{size_mb}M")),
            Kind::Named | Kind::Image if size_mb != 0 => {
                self.made_by = Some(volumes::options_of(size_mb, file_system)?);
            }
            Kind::Image => self.guest_file_system = file_system.map(str::to_ascii_lowercase),
            _ => {}
        }
        Ok(())
    }

    /// What needs no machine to be seen.
    fn check(&self) -> Result<()> {
        if self.target.is_empty() {
            return Err(Failure::argument("the target is empty"));
        }
        let is_temporary = self.kind == Kind::Temporary;
        if self.source.is_empty() && !is_temporary {
            return Err(Failure::argument(format!(
                "the mount at {:?} names no source",
                self.target
            )));
        }
        Ok(())
    }

    /// The mount in the words of the engine.
    pub(crate) fn words(&self) -> String {
        let kind = match self.kind {
            Kind::Named => "volume",
            Kind::Image => "vhd",
            Kind::Bind => "bind",
            Kind::Smb => "smb",
            Kind::Temporary => "tmpfs",
        };
        let mut fields = vec![format!("type={kind}"), format!("target={}", self.target)];
        if !self.source.is_empty() {
            fields.push(format!("source={}", self.source));
        }
        // What is in memory is gone with it: nothing could ever be in it that is read-only.
        if self.read_only && self.kind != Kind::Temporary {
            fields.push("readonly".to_owned());
        }
        if self.create && self.kind == Kind::Bind {
            fields.push("create".to_owned());
        }
        let size = self.size.as_ref().map(|size| ("size", size));
        let file_system = self.guest_file_system.as_ref().map(|fs| ("fs", fs));
        let share_name = self.share_name.as_ref().map(|name| ("share_name", name));
        let user = self.user.as_ref().map(|user| ("username", user));
        let more = [size, file_system, share_name, user];
        for (key, value) in more.into_iter().flatten() {
            fields.push(format!("{key}={value}"));
        }
        let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
        fields.join(",")
    }
}

/// Refuses flags that mean nothing.
fn check_flags(flags: u32, target: &str) -> Result<()> {
    match flags & !(BIND | RECURSIVE | READONLY | CREATE) {
        0 => Ok(()),
        unknown => Err(Failure::argument(format!(
            "the mount at {target:?} has flags 0x{unknown:x}, which are not known"
        ))),
    }
}

/// The kind that C names by a number.
fn kind_of(number: EnumValue) -> Result<Kind> {
    match number {
        0 => Ok(Kind::Image),
        1 => Ok(Kind::Bind),
        2 => Ok(Kind::Smb),
        3 => Ok(Kind::Temporary),
        4 => Ok(Kind::Named),
        _ => Err(Failure::argument(format!(
            "{number} is no enum windows_volume_type"
        ))),
    }
}

/// The kind that containerv names by a word.
pub(crate) fn kind_of_word(word: &str) -> Option<Kind> {
    let word = word.to_ascii_lowercase();
    Some(match word.as_str() {
        "vhd" | "vhdx" => Kind::Image,
        "named" | "volume" | "local" => Kind::Named,
        "bind" => Kind::Bind,
        "smb" | "cifs" => Kind::Smb,
        "tmpfs" => Kind::Temporary,
        _ => return None,
    })
}

/// Whether it is a path rather than the name of a volume, which has neither of these.
fn is_path(text: &str) -> bool {
    text.contains(['/', '\\', ':'])
}

/// A field as the engine reads it: in quotes, since any may hold commas.
fn quoted(field: &str) -> String {
    format!("\"{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests;
