//! `cvol render`: mounts in the forms that other tools take.

use clap::ValueEnum;
use engine::{ByteCount, QemuMachine, RenderForm};
use serde_json::Value;

use super::machine::{HypervisorWord, Mounts};
use super::{Context, Outcome, Result, values};
use crate::output::{Form, terminal};

/// The form that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormWord {
    /// Parts of HCS documents of schema 2, and the requests to a machine that runs
    Hcs,
    /// MappedDirectories and MappedVirtualDisks of HCS schema 1
    Hcs1,
    /// `mounts` of the OCI specification, in the kinds that hcsshim takes
    Oci,
    /// Arguments of QEMU
    Qemu,
    /// Commands to be run in the guest, of what HCS does not bring into it: SMB shares, memory
    Script,
}

/// Tell mounts in the form that another tool takes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is attached and nothing changed. What a form cannot say is refused by name, never left out. The
arguments of QEMU expect each disk at an export of ours: `cvol serve NAME --socket DIR/SERIAL.nbd
--export-name SERIAL` with the serial that the arguments name.

Examples:
  cvol render --as hcs --guest windows --mount type=vhd,source=C:\\v\\a.vhdx,target=C:\\data
  cvol render --as oci --guest linux --mount type=bind,source=C:\\src,target=/src,readonly
  cvol render --as qemu --guest linux --sockets /run/vm --memory 2G --mount source=data,target=/data")]
pub(crate) struct Arguments {
    /// The form
    #[arg(long = "as", value_name = "FORM")]
    form: FormWord,

    #[command(flatten)]
    mounts: Mounts,

    /// With `--as qemu`: folder of the sockets of exports and of virtiofs daemons
    #[arg(long, value_name = "DIR", default_value = ".")]
    sockets: String,

    /// With `--as qemu`: memory of the machine
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = values::size)]
    memory: ByteCount,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let (hypervisor, form) = match self.form {
            FormWord::Hcs => (HypervisorWord::Hcs, RenderForm::Hcs),
            FormWord::Hcs1 => (HypervisorWord::Hcs, RenderForm::HcsFirstSchema),
            FormWord::Oci => (HypervisorWord::Hcs, RenderForm::Oci),
            FormWord::Qemu => {
                let machine = QemuMachine {
                    sockets: self.sockets,
                    memory: self.memory.get(),
                };
                (HypervisorWord::Qemu, RenderForm::Qemu(machine))
            }
            FormWord::Script => (HypervisorWord::Hcs, RenderForm::GuestScript),
        };
        let platform = self.mounts.platform(hypervisor)?;
        let told = context
            .engine
            .render_mounts(platform, &self.mounts.mounts, &form)?;
        match (context.output.form(), &told) {
            // For a shell: a word a line, quoted where it has to be.
            (Form::Text | Form::Quiet, Value::Array(words))
                if matches!(form, RenderForm::Qemu(_)) =>
            {
                let words = words.iter().filter_map(Value::as_str);
                let lines: String = words
                    .map(|word| format!("{}\n", terminal::quoted(word)))
                    .collect();
                context.output.print(&lines)?;
            }
            // The documents of other tools are JSON in any case.
            _ => context.output.print_json(&told)?,
        }
        Ok(Outcome::Done)
    }
}
