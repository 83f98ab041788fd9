//! `cvol convert`: an image in another format.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use engine::{ByteCount, ConvertImage, ConvertedImage, ImageFormat, Provisioning};
use serde::Serialize;

use super::{Context, Outcome, Result, values};
use crate::failure::Failure;
use crate::output::{Form, quantity, terminal};
use crate::reference::ImageOrVolume;

/// Convert an image file, or the image of a volume, to another format
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The target appears under its name only when it is whole. With SOURCE_DATE_EPOCH set, its identifiers
are derived from the content, and equal input gives equal bytes. A differencing image is read together
with its parents, so that the target stands alone.

The source is a path if it holds a separator, ends in .vhdx, .vhd, .avhdx, .avhd, .raw, .img or
.qcow2, or names a file that exists here; else it is a volume. --image and --volume decide
otherwise.

Examples:
  cvol convert disk.vhd disk.vhdx
  cvol convert data backup.vhdx
  cvol convert disk.qcow2 disk.vhdx
  cvol convert -O vhd --type fixed disk.raw azure.vhd")]
pub(crate) struct Arguments {
    /// Image file, or name of a volume
    #[arg(value_name = "SOURCE")]
    source: OsString,

    /// File to make
    #[arg(value_name = "TARGET")]
    target: PathBuf,

    #[command(flatten)]
    which: ImageOrVolume,

    /// Format of the source [default: found out]
    #[arg(short, long, value_name = "FORMAT", value_parser = values::image_format())]
    format: Option<ImageFormat>,

    /// Format of the target [default: as its name ends, else vhdx]
    #[arg(short = 'O', long, value_name = "FORMAT", value_parser = values::image_format())]
    output_format: Option<ImageFormat>,

    /// How the target takes its space
    #[arg(long = "type", value_name = "TYPE", default_value = "dynamic",
          value_parser = values::provisioning())]
    provisioning: Provisioning,

    /// Block size of the target, such as 2M [default: what Windows would choose]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    block_size: Option<ByteCount>,

    /// Replace an existing target
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Document {
    source: String,
    target: String,
    format: String,
    virtual_size: u64,
    copied: u64,
    file_length: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let source = self.which.resolve(&self.source)?;
        let source_name = source.to_string();
        let target_format = match self.output_format {
            Some(format) => format,
            None => format_by_name(&self.target)?,
        };
        let request = ConvertImage {
            source,
            source_format: self.format,
            target: self.target,
            target_format,
            provisioning: self.provisioning,
            block_size: self.block_size,
            replace: self.force,
            source_date_epoch: values::source_date_epoch()?,
        };
        let converted = {
            let reporter = context.reporter("converting");
            context
                .engine
                .convert_image(&request, &|progress| reporter.report(progress))?
        };
        match context.output.form() {
            Form::Json => context
                .output
                .print_json(&document(source_name, &converted))?,
            Form::Quiet => context
                .output
                .print_name(&converted.target.to_string_lossy())?,
            Form::Text => context.output.print(&text(&converted))?,
        }
        Ok(Outcome::Done)
    }
}

/// The format that the name of a file ends in; a name without an extension is a VHDX.
pub(super) fn format_by_name(path: &Path) -> std::result::Result<ImageFormat, Failure> {
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

fn document(source: String, converted: &ConvertedImage) -> Document {
    Document {
        source,
        target: converted.target.to_string_lossy().into_owned(),
        format: converted.format.to_string(),
        virtual_size: converted.virtual_size.get(),
        copied: converted.copied.get(),
        file_length: converted.file_length.get(),
    }
}

fn text(converted: &ConvertedImage) -> String {
    format!(
        "{}: {} image of {}, {} of data\n",
        terminal::escape(&converted.target.to_string_lossy()),
        converted.format,
        quantity::bytes(converted.virtual_size.get()),
        quantity::bytes(converted.copied.get())
    )
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
