//! The `cvol` command: reads the command line, calls the engine, prints what comes back.
//!
//! ```text
//!   arguments   what can be asked for        command/*   one verb a file
//!   reference   what an argument names       output/*    tables, JSON, safe names
//!   failure     what is told of an error     exit        the code it ends with
//!   progress    the bar                      interrupt   Ctrl-C
//!   steps       what is done to a machine
//!   notice      what the store did on its own
//!   password    where one is read            terminal_input, private_memory   how it stays hidden
//! ```
//!
//! Everything it knows of volumes and images comes from `engine`; its JSON documents are its own.

#![forbid(unsafe_code)]

mod arguments;
mod command;
mod exit;
mod failure;
mod interrupt;
mod notice;
mod output;
mod password;
mod private_memory;
mod progress;
mod reference;
mod steps;
mod terminal_input;

use std::ffi::OsStr;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind as ClapErrorKind;
use engine::{Config, Engine, KeySource};

use crate::arguments::{Arguments, Global};
use crate::command::{Context, Outcome};
use crate::failure::Failure;
use crate::output::{Form, Output};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(tell_wrong_usage(&error)),
    };
    let form = form(&arguments.global);
    interrupt::listen();
    let result = context(&arguments.global, form).and_then(|context| {
        let result = command::run(arguments.verb, &context);
        notice::tell(context.engine.notices(), form);
        result
    });
    ExitCode::from(match result {
        Ok(Outcome::Done) => exit::OK,
        Ok(Outcome::ProblemsFound) => exit::PROBLEMS_FOUND,
        Ok(Outcome::Ended(code)) => code,
        Err(failure) if failure.is_closed_pipe() => exit::OK,
        Err(failure) => {
            failure.tell(form);
            exit::code(failure.kind())
        }
    })
}

fn form(global: &Global) -> Form {
    if global.json {
        Form::Json
    } else if global.quiet {
        Form::Quiet
    } else {
        Form::Text
    }
}

fn context(global: &Global, form: Form) -> Result<Context, Failure> {
    let config = match &global.root {
        Some(root) if root.as_os_str().is_empty() => {
            return Err(Failure::usage(
                "the folder of the store is an empty path",
                "give a folder with `--root` or CVOL_ROOT, or neither for the default",
            ));
        }
        Some(root) => Config::with_root(root),
        None => Config::from_system()?,
    };
    Ok(Context {
        engine: Engine::new(from_environment(config).with_parents(global.parents.clone())),
        output: Output::new(form, global.verbose),
        show_progress: !global.no_progress && form == Form::Text,
    })
}

/// What is the same for every verb, and so stands in the environment.
fn from_environment(mut config: Config) -> Config {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = set("CVOL_SECRET_KEY_FILE") {
        config = config.with_key_source(KeySource::File(file.into()));
    } else if let Some(name) = set("CVOL_SECRET_KEYRING") {
        config = config.with_key_source(KeySource::Keyring(name.to_string_lossy().into_owned()));
    }
    match set("CVOL_MOUNT_ROOTS") {
        Some(roots) => config.with_mount_roots(std::env::split_paths(&roots).collect()),
        None => config,
    }
}

/// Prints help or the version where they were asked for, else what is wrong; the exit code.
fn tell_wrong_usage(error: &clap::Error) -> u8 {
    let is_answer = matches!(
        error.kind(),
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion
    );
    // The options could not be read, so what they would have said is looked for by hand.
    let wants_json = std::env::args_os()
        .take_while(|argument| argument != OsStr::new("--"))
        .any(|argument| argument == OsStr::new("--json"));
    if !is_answer && wants_json {
        let message = error.to_string();
        let message = message.trim_start_matches("error: ").trim_end();
        let kind = engine::ErrorKind::InvalidArgument;
        failure::tell(Form::Json, kind, message, None);
    } else {
        // Where nobody reads it, there is nobody to tell.
        let _ = error.print();
    }
    if is_answer { exit::OK } else { exit::USAGE }
}
