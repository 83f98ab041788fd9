//! Chores of cvol: `cargo xtask VERB`. One verb a file; `cargo xtask help` lists them.
//!
//! The crate stands on `std` and `serde_json` alone, so that it builds in seconds on a machine that
//! has only cargo, before anything else was installed.

mod agent;
mod arguments;
mod bench;
mod capi_install;
mod ci;
mod demo;
mod e2e;
mod failed_tests;
mod failure;
mod fuzz;
mod process;
mod setup;
mod test;
mod tidy;
mod windows;
mod workspace;

use std::process::ExitCode;

use arguments::Arguments;
use failure::{Failure, Outcome};

/// One verb: its name, one line for the list, its whole help, and what it does.
struct Verb {
    name: &'static str,
    summary: &'static str,
    help: &'static str,
    run: fn(Arguments) -> Outcome,
}

/// Every verb, in the order in which the help shows them.
const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        summary: "the main job on a real directory",
        help: demo::HELP,
        run: demo::run,
    },
    Verb {
        name: "setup",
        summary: "install the programs of others that the other verbs need, or say which",
        help: setup::HELP,
        run: setup::run,
    },
    Verb {
        name: "agent",
        summary: "build the agent for Linux guests, as one file",
        help: agent::HELP,
        run: agent::run,
    },
    Verb {
        name: "tidy",
        summary: "check the rules of the house that no compiler knows",
        help: tidy::HELP,
        run: tidy::run,
    },
    Verb {
        name: "test",
        summary: "set up and run every test",
        help: test::HELP,
        run: test::run,
    },
    Verb {
        name: "e2e",
        summary: "volumes in virtual machines: a hundred rounds, and everybody dies",
        help: e2e::HELP,
        run: e2e::run,
    },
    Verb {
        name: "ci",
        summary: "run every check",
        help: ci::HELP,
        run: ci::run,
    },
    Verb {
        name: "fuzz",
        summary: "run the fuzz targets",
        help: fuzz::HELP,
        run: fuzz::run,
    },
    Verb {
        name: "windows",
        summary: "build, lint and test for Windows, run under Wine",
        help: windows::HELP,
        run: windows::run,
    },
    Verb {
        name: "capi-install",
        summary: "build the C interface and put it where compilers find it",
        help: capi_install::HELP,
        run: capi_install::run,
    },
    Verb {
        name: "bench",
        summary: "measure cvol against its peers",
        help: bench::HELP,
        run: bench::run,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let verb = words.next().unwrap_or_else(|| "help".to_owned());
    let arguments = Arguments::new(words.collect());
    let outcome = match verb.as_str() {
        "help" | "--help" | "-h" => help(arguments),
        name => dispatch(name, arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            failure.exit_code()
        }
    }
}

fn find(name: &str) -> Result<&'static Verb, Failure> {
    VERBS
        .iter()
        .find(|verb| verb.name == name)
        .ok_or_else(|| Failure::usage(format!("no verb {name:?}; see cargo xtask help")))
}

fn dispatch(name: &str, mut arguments: Arguments) -> Outcome {
    let verb = find(name)?;
    if arguments.flag("--help") || arguments.flag("-h") {
        println!("{}", verb.help.trim_end());
        return Ok(());
    }
    (verb.run)(arguments)
}

fn help(mut arguments: Arguments) -> Outcome {
    if let Some(name) = arguments.positional()? {
        println!("{}", find(&name)?.help.trim_end());
        return arguments.finish();
    }
    println!("usage: cargo xtask VERB [OPTIONS]      (cargo xtask help VERB tells more)\n");
    for verb in VERBS {
        println!("  {:<12} {}", verb.name, verb.summary);
    }
    Ok(())
}
