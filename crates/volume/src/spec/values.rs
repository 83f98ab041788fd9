//! The values of options, each read into its type.

use blockio::{ByteCount, SectorSize};
use mkfs::SecurityDescriptor;
use mkfs::security::{Preset, SddlErrorKind};
use vdisk::ImageFormat;
use vdisk::Provisioning;

use super::error::SpecError;
use super::kind::{FileSystemKind, PartitionLayout, VolumeKind};
use super::size::parse_size;
use super::words::{quote, unknown_word};

/// The longest descriptor of a specification as it is recorded, in bytes; longer ones belong into a
/// file of rules.
const MAX_ACL_LENGTH: usize = 2048;

pub(super) fn size_value(option: &'static str, value: &str) -> Result<ByteCount, SpecError> {
    parse_size(value).map_err(|error| {
        let message = if value.is_empty() {
            error.to_string()
        } else {
            format!("{}: {error}", quote(value))
        };
        SpecError::of_option(option, message)
    })
}

pub(super) fn file_system_value(value: &str) -> Result<FileSystemKind, SpecError> {
    let words = ["ntfs", "fat32", "refs", "scratch", "none"];
    FileSystemKind::from_word(&value.to_ascii_lowercase())
        .ok_or_else(|| unknown_word("fs", value, &words))
}

pub(super) fn format_value(value: &str) -> Result<ImageFormat, SpecError> {
    let words = ["vhdx", "vhd", "raw"];
    let word = value.to_ascii_lowercase();
    if word == "qcow2" {
        let message = "a volume is not kept in qcow2; `cvol convert` makes and reads such images";
        return Err(unsupported_value("format", message));
    }
    let parsed = word.parse();
    parsed.map_err(|_| unknown_word("format", value, &words))
}

pub(super) fn provisioning_value(value: &str) -> Result<Provisioning, SpecError> {
    let word = value.to_ascii_lowercase();
    if word == "differencing" {
        let message = "differencing images are made by snapshots and clones, which are not \
                       supported yet; use type=dynamic";
        return Err(unsupported_value("type", message));
    }
    let parsed = word.parse();
    parsed.map_err(|_| {
        unknown_word(
            "type",
            value,
            &["dynamic", "fixed", "vhd", "bind", "smb", "tmpfs"],
        )
    })
}

pub(super) fn sector_value(value: &str) -> Result<SectorSize, SpecError> {
    let size = size_value("sector", value)?;
    SectorSize::from_bytes(size.get()).ok_or_else(|| {
        SpecError::of_option("sector", format!("{} is none of 512, 4096", quote(value)))
    })
}

pub(super) fn layout_value(value: &str) -> Result<PartitionLayout, SpecError> {
    let word = value.to_ascii_lowercase();
    if word == "mbr" {
        let message = "an MBR partition table is not supported; use layout=gpt or layout=disk";
        return Err(unsupported_value("layout", message));
    }
    PartitionLayout::from_word(&word).ok_or_else(|| unknown_word("layout", value, &["gpt", "disk"]))
}

pub(super) fn label_value(value: &str) -> Result<String, SpecError> {
    match value.chars().find(|c| c.is_control()) {
        Some(found) => {
            let message = format!("holds the control character {found:?}");
            Err(SpecError::of_option("label", message))
        }
        None if value.contains(',') => {
            let message = "holds a comma, which separates options";
            Err(SpecError::of_option("label", message))
        }
        None => Ok(value.to_owned()),
    }
}

pub(super) fn bool_value(option: &'static str, value: &str) -> Result<bool, SpecError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(unknown_word(option, value, &["true", "false"])),
    }
}

/// SDDL or the name of a preset. SDDL has no commas but in conditions, which are refused.
pub(super) fn acl_value(value: &str) -> Result<SecurityDescriptor, SpecError> {
    let is_sddl = value.contains(':');
    let descriptor = SecurityDescriptor::from_sddl_or_preset(value).map_err(|error| {
        if !is_sddl {
            return unknown_word("acl", value, &Preset::ALL.map(Preset::name));
        }
        let place = error.column().map(|column| format!("character {column}: "));
        let message = place.unwrap_or_default() + error.message();
        match error.kind() {
            SddlErrorKind::Unsupported => unsupported_value("acl", &message),
            _ => SpecError::of_option("acl", message),
        }
    })?;
    let recorded = descriptor.to_sddl().unwrap_or_default();
    if recorded.is_empty() || recorded.len() > MAX_ACL_LENGTH {
        let message = format!(
            "longer than the {MAX_ACL_LENGTH} bytes that are recorded; put it into a file of rules"
        );
        return Err(SpecError::of_option("acl", message));
    }
    Ok(descriptor)
}

pub(super) fn kind_value(value: &str) -> Result<VolumeKind, SpecError> {
    let words = ["vhd", "bind", "smb", "tmpfs"];
    VolumeKind::from_word(&value.to_ascii_lowercase())
        .ok_or_else(|| unknown_word("kind", value, &words))
}

fn unsupported_value(option: &'static str, message: &str) -> SpecError {
    SpecError::unsupported(message).of(option)
}
