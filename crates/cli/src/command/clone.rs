//! `cvol clone`: a volume that stands on a snapshot of another one.

use engine::{ByteCount, CloneOutcome, CloneVolume};
use serde::Serialize;

use super::{Context, Outcome, Result, values};
use crate::output::{Form, Output};

/// Make a volume that holds what another one does, and shares its space
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The clone stands on a snapshot: VOLUME@SNAPSHOT, or, of VOLUME alone, one that is taken now; where
nothing was written since the last one, that. It takes a moment and a few megabytes, whatever the
size. The snapshot cannot be removed while a clone stands on it; `cvol flatten CLONE` frees it.

Examples:
  cvol clone base@v1 web1
  cvol clone base web2 --label app=web
  cvol create web3 --base base@v1 --size 40G")]
pub(crate) struct Arguments {
    /// What to clone
    #[arg(value_name = "VOLUME[@SNAPSHOT]")]
    base: String,

    /// Name of the clone
    #[arg(value_name = "NAME")]
    name: String,

    /// Size of its disk, not less than the base's [default: the base's]
    #[arg(short, long, value_parser = values::size)]
    size: Option<ByteCount>,

    /// Attach a label; may be repeated
    #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = values::pair)]
    labels: Vec<(String, String)>,

    /// Option string: size=SIZE, persistent=true|false
    #[arg(short, long = "opt", value_name = "OPTIONS")]
    options: Vec<String>,
}

#[derive(Serialize)]
struct Document {
    name: String,
    id: String,
    base: String,
    took_snapshot: bool,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let size = self.size.map(|size| ("size", size.get().to_string()));
        let made = context.engine.clone_volume(&CloneVolume {
            name: self.name,
            base: self.base,
            options: self.options,
            settings: size.into_iter().collect(),
            labels: self.labels.into_iter().collect(),
            source_date_epoch: values::source_date_epoch()?,
        })?;
        print(context.output, &made)?;
        Ok(Outcome::Done)
    }
}

/// Tells of a clone that was made.
pub(super) fn print(
    output: Output,
    made: &CloneOutcome,
) -> std::result::Result<(), crate::failure::Failure> {
    match output.form() {
        Form::Json => output.print_json(&Document {
            name: made.record.name.to_string(),
            id: made.record.id.to_string(),
            base: made.base.clone(),
            took_snapshot: made.took_snapshot,
        }),
        Form::Quiet => output.print_name(made.record.name.as_str()),
        Form::Text => {
            if made.took_snapshot {
                output.note(&format!("took snapshot {} for it", made.base));
            }
            output.print_name(made.record.name.as_str())
        }
    }
}
