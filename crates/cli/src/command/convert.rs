//! `cvol convert`: an image in another format.

use engine::{ByteCount, ConvertImage, ConvertedImage, Provisioning};
use serde::Serialize;

use super::conversion::Conversion;
use super::{Context, Outcome, Result, values};
use crate::output::{quantity, terminal};

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
    #[command(flatten)]
    conversion: Conversion,

    /// How the target takes its space
    #[arg(long = "type", value_name = "TYPE", default_value = "dynamic",
          value_parser = values::provisioning())]
    provisioning: Provisioning,

    /// Block size of the target, such as 2M [default: what Windows would choose]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    block_size: Option<ByteCount>,
}

#[derive(Serialize)]
struct Document {
    source: String,
    target: String,
    format: String,
    virtual_size: u64,
    copied: u64,
    file_length: u64,
    sector_size: u64,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let source = self.conversion.source()?;
        let source_name = source.to_string();
        let request = ConvertImage {
            source,
            source_format: self.conversion.format,
            target_format: self.conversion.target_format()?,
            target: self.conversion.target,
            provisioning: self.provisioning,
            block_size: self.block_size,
            replace: self.conversion.force,
            source_date_epoch: values::source_date_epoch()?,
        };
        let converted = context.watched("converting", |engine, report| {
            engine.convert_image(&request, report)
        })?;
        let target = converted.target.to_string_lossy();
        if !converted.tells_sector_size {
            context.output.note(&format!(
                "the disk has sectors of {0} bytes, which a {1} image does not tell: say so where it is attached, \
                 to QEMU as logical_block_size={0}",
                converted.sector_size.bytes(),
                converted.format
            ));
        }
        let document = document(source_name, &converted);
        context
            .output
            .report_as(&target, &document, || text(&converted))?;
        Ok(Outcome::Done)
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
        sector_size: converted.sector_size.bytes(),
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
