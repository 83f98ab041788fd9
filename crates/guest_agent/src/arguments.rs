//! The words that the agent is started with.

use std::path::PathBuf;

use crate::place::Place;

/// What the words may be.
pub const USAGE: &str = "\
usage: cvol-guest-agent [--at PLACE]... [--root FOLDER] [--book FILE]
       cvol-guest-agent --init

Does in a virtual machine what cvol on its host asks for.

  --at PLACE     where the host is heard; may be given several times. A PLACE is
                   ports          every port of virtio that is called org.cvol.agent.N (the default)
                   stdio          the standard input and output
                   unix:PATH      a socket that is made there (Linux)
                   vsock          a socket of the hypervisor, as cvol calls a machine of Hyper-V
                   vsock:PORT     the same at another port
                   tcp:ADDRESS    a socket of TCP: for tests only, since anybody may connect to it
  --root FOLDER  targets lie below this folder, instead of the root of the system (Linux)
  --book FILE    where the agent keeps book of what it mounted, instead of /run (Linux)
  --init         be the first process of the system (Linux)
";

/// How the agent was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Where the host is heard.
    pub places: Vec<Place>,
    /// Below which folder targets lie.
    pub root: Option<PathBuf>,
    /// Where book is kept of mounts.
    pub book: Option<PathBuf>,
    /// Whether this is the first process.
    pub init: bool,
    /// Whether only the usage is asked for.
    pub help: bool,
}

/// Words that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no option of the agent; see --help")]
pub struct UsageError(String);

impl Arguments {
    /// Reads the words behind the name of the program.
    ///
    /// # Errors
    /// [`UsageError`] names the first word that makes no sense.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let mut arguments = Self {
            places: Vec::new(),
            root: None,
            book: None,
            init: false,
            help: false,
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| UsageError(word.clone()));
            match word.as_str() {
                "--at" => {
                    let place = value()?;
                    let known = Place::parse(&place).ok_or(UsageError(place))?;
                    arguments.places.push(known);
                }
                "--root" => arguments.root = Some(value()?.into()),
                "--book" => arguments.book = Some(value()?.into()),
                "--init" => arguments.init = true,
                "--help" | "-h" => arguments.help = true,
                _ => return Err(UsageError(word)),
            }
        }
        if arguments.places.is_empty() {
            arguments.places.push(Place::Ports);
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_or_refused_by_name() {
        let parse = |words: &[&str]| Arguments::parse(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(parse(&[]).unwrap().places, [Place::Ports]);
        let both = parse(&["--at", "stdio", "--at", "vsock:9", "--root", "/r"]).unwrap();
        assert_eq!(both.places, [Place::Stdio, Place::Vsock(9)]);
        assert_eq!(both.root, Some(PathBuf::from("/r")));
        let places = parse(&["--at", "vsock"]).unwrap().places;
        assert_eq!(places, [Place::Vsock(guest_proto::HYPERVISOR_PORT)]);
        assert!(parse(&["--init"]).unwrap().init);
        for words in [
            &["--at"][..],
            &["--at", "moon"],
            &["--at", "vsock:x"],
            &["x"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
