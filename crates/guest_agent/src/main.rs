//! `cvol-guest-agent`: the agent as a program.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use guest_agent::{Agent, Arguments, Place, System, USAGE, serve};

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("cvol-guest-agent: {error}");
            return ExitCode::from(2);
        }
    };
    if arguments.help {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let outcome = run(&arguments);
    if let Err(error) = outcome {
        eprintln!("cvol-guest-agent: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(arguments: &Arguments) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    if arguments.init {
        return guest_agent::be_init();
    }
    let agent = Arc::new(Agent::new(system(arguments)?));
    let mut threads = Vec::new();
    for place in arguments.places.clone() {
        let agent = Arc::clone(&agent);
        threads.push(std::thread::spawn(move || heard(&place, &agent)));
    }
    let outcomes = threads.into_iter().map(|thread| thread.join());
    // One place that works is enough; they end in the order in which they were named.
    let ended: Vec<_> = outcomes.flatten().collect();
    ended.into_iter().collect()
}

fn heard(place: &Place, agent: &Arc<Agent>) -> std::io::Result<()> {
    serve(place, agent).inspect_err(|error| {
        eprintln!("cvol-guest-agent: nothing is heard at {place:?}: {error}");
    })
}

#[cfg(target_os = "linux")]
fn system(arguments: &Arguments) -> std::io::Result<Arc<dyn System>> {
    let system = guest_agent::Linux::new(arguments.root.as_deref(), arguments.book.as_deref())?;
    Ok(Arc::new(system))
}

#[cfg(windows)]
fn system(arguments: &Arguments) -> std::io::Result<Arc<dyn System>> {
    Ok(Arc::new(guest_agent::Windows::new(
        arguments.book.as_deref(),
    )))
}

#[cfg(not(any(target_os = "linux", windows)))]
fn system(_arguments: &Arguments) -> std::io::Result<Arc<dyn System>> {
    Err(std::io::ErrorKind::Unsupported.into())
}
