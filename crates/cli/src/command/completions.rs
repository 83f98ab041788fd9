//! `cvol completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Context, Outcome, Result};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cvol completions bash > /etc/bash_completion.d/cvol
  cvol completions zsh > ~/.zfunc/_cvol
  cvol completions fish > ~/.config/fish/completions/cvol.fish
  cvol completions powershell >> $PROFILE")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Arguments {
    pub(crate) fn run(self, context: &Context) -> Result {
        let mut command = crate::arguments::Arguments::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "cvol", &mut script);
        context.output.print(&String::from_utf8_lossy(&script))?;
        Ok(Outcome::Done)
    }
}
