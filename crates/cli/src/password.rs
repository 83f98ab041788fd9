//! Where a password comes from: the terminal, a file, an open file, the keyring. Never an argument, which
//! every user of the machine can see.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use engine::SecretString;

use crate::failure::Failure;
use crate::{interrupt, private_memory, terminal_input};

/// The flags that say where a password is read from; asked for on the terminal where none is given.
#[derive(Debug, Default, clap::Args)]
#[group(multiple = false)]
pub(crate) struct PasswordArguments {
    /// Read the password from this open file of the caller; 0 is standard input, and on Windows the only one
    #[arg(long, value_name = "N")]
    password_fd: Option<u32>,

    /// Read the password from this file, which nobody but its owner may be able to read
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Read the password from the keyring: of Linux the key of type `user` with this name, of Windows the
    /// generic credential
    #[arg(long, value_name = "NAME")]
    password_keyring: Option<String>,
}

impl PasswordArguments {
    /// Whether any of them is given.
    pub(crate) fn is_given(&self) -> bool {
        self.password_fd.is_some()
            || self.password_file.is_some()
            || self.password_keyring.is_some()
    }

    /// The password; `prompt` is what it is asked for with. One that is to be kept is asked for twice.
    pub(crate) fn read(&self, prompt: &str, twice: bool) -> Result<SecretString, Failure> {
        private_memory::keep();
        if let Some(file) = &self.password_file {
            return told(engine::password_of_file(file));
        }
        if let Some(name) = &self.password_keyring {
            return told(engine::password_of_keyring(name));
        }
        match self.password_fd {
            Some(0) => told(engine::password_of_stdin()),
            Some(number) => told(terminal_input::open_inherited(number).map_or_else(
                |error| {
                    Err(engine::unreadable_password(
                        &format!("file {number}"),
                        &error,
                    ))
                },
                engine::password_of_reader,
            )),
            None => ask(prompt, twice),
        }
    }
}

fn told(read: Result<SecretString, engine::SecretError>) -> Result<SecretString, Failure> {
    read.map_err(|error| Failure::Engine(error.into()))
}

fn ask(prompt: &str, twice: bool) -> Result<SecretString, Failure> {
    let nobody = || {
        Failure::usage(
            "a password is needed, and nobody can be asked",
            "say where it is: `--password-file FILE`, `--password-fd N` or `--password-keyring NAME`",
        )
    };
    if !std::io::stderr().is_terminal() && !terminal_input::is_there() {
        return Err(nobody());
    }
    let first = read_line(prompt)?.ok_or_else(nobody)?;
    if twice {
        let again = read_line("once more, to be sure: ")?.ok_or_else(nobody)?;
        if !engine::same_password(&first, &again) {
            return Err(Failure::usage(
                "the two passwords differ",
                "nothing was changed; try again",
            ));
        }
    }
    Ok(first)
}

/// One line of the terminal that is not shown; `None` where there is no terminal.
fn read_line(prompt: &str) -> Result<Option<SecretString>, Failure> {
    let line = terminal_input::read_hidden(prompt);
    if interrupt::poll().is_break() {
        return Err(Failure::Engine(engine::Error::Interrupted));
    }
    match line {
        Ok(line) => told(engine::password_of_reader(line.as_slice())).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(Failure::Engine(engine::Error::Interrupted))
        }
        Err(_) => Ok(None),
    }
}
