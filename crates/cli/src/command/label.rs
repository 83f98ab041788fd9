//! `cvol label`: the label of the file system in a volume, shown or changed.

use super::{Context, Outcome, Result};
use crate::output::Form;
use crate::reference;

/// Show or change the label of a volume's file system
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The label is what a guest shows beside the drive letter; the name of the volume in the store stays as
it is. NTFS takes 32 characters, FAT32 takes 11 of ASCII, in upper case. An empty label is none.

Examples:
  cvol label data
  cvol label data 'Web content'
  cvol label disk.vhdx SCRATCH")]
pub(crate) struct Arguments {
    /// Volume, or image file that ends in .vhdx, .vhd, .raw or .img
    #[arg(value_name = "VOLUME")]
    volume: String,

    /// The new label
    #[arg(value_name = "LABEL")]
    label: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let image = reference::volume(&self.volume);
        let label = match self.label {
            Some(label) => {
                context.engine.set_label(&image, &label)?;
                if context.output.form() != Form::Json {
                    return Ok(Outcome::Done);
                }
                label
            }
            None => context.engine.label(&image)?,
        };
        match context.output.form() {
            Form::Json => {
                let document = serde_json::json!({ "label": label });
                context.output.print_json(&document)?;
            }
            Form::Text | Form::Quiet => {
                context
                    .output
                    .print(&format!("{}\n", crate::output::name_for_stdout(&label)))?;
            }
        }
        Ok(Outcome::Done)
    }
}
