//! From an image to a new one: what the verbs have in common that make an image from another.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use engine::{ImageFormat, ImageReference};

use super::values;
use crate::failure::Failure;
use crate::reference::ImageOrVolume;

/// The image to read, and the one to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Conversion {
    /// Image file, or name of a volume
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// File to make
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,

    #[command(flatten)]
    which: ImageOrVolume,

    /// Format of the source [default: found out]
    #[arg(short, long, value_name = "FORMAT", value_parser = values::image_format())]
    pub(crate) format: Option<ImageFormat>,

    /// Format of the target [default: as its name ends, else vhdx]
    #[arg(short = 'O', long, value_name = "FORMAT", value_parser = values::image_format())]
    output_format: Option<ImageFormat>,

    /// Replace an existing target
    #[arg(long)]
    pub(crate) force: bool,
}

impl Conversion {
    /// Which image is read.
    pub(crate) fn source(&self) -> Result<ImageReference, Failure> {
        self.which.resolve(&self.source)
    }

    /// The format of the one that is made: as said, else as its name ends.
    pub(crate) fn target_format(&self) -> Result<ImageFormat, Failure> {
        match self.output_format {
            Some(format) => Ok(format),
            None => format_by_name(&self.target),
        }
    }
}

/// The format that the name of a file ends in; a name without an extension is a VHDX.
fn format_by_name(path: &Path) -> Result<ImageFormat, Failure> {
    let Some(extension) = path.extension() else {
        return Ok(ImageFormat::Vhdx);
    };
    match extension.to_ascii_lowercase().to_str() {
        Some("vhdx") => Ok(ImageFormat::Vhdx),
        Some("vhd") => Ok(ImageFormat::Vhd),
        Some("raw" | "img" | "bin" | "dd") => Ok(ImageFormat::Raw),
        Some("qcow2") => Ok(ImageFormat::Qcow2),
        _ => Err(Failure::usage(
            format!("{} does not say which format is wanted", path.display()),
            "give the format with `-O vhdx`, `-O vhd`, `-O raw` or `-O qcow2`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_target_says_its_format() {
        for (name, format) in [
            ("a.vhdx", Some(ImageFormat::Vhdx)),
            ("a.VHD", Some(ImageFormat::Vhd)),
            ("a.img", Some(ImageFormat::Raw)),
            ("a", Some(ImageFormat::Vhdx)),
            ("a.qcow2", Some(ImageFormat::Qcow2)),
            ("a.vmdk", None),
        ] {
            assert_eq!(format_by_name(Path::new(name)).ok(), format, "{name}");
        }
    }
}
