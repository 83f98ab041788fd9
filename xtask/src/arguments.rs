//! The words after a verb: flags and options are taken out by name, in any order, and what is left
//! over at the end is an error. Words after a lone `--` are kept apart.

use crate::failure::{Failure, Outcome};

/// The words that follow a verb on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    words: Vec<String>,
    after_dashes: Vec<String>,
}

impl Arguments {
    pub(crate) fn new(mut words: Vec<String>) -> Self {
        let split = words.iter().position(|word| word == "--");
        let after_dashes = match split {
            Some(index) => words.drain(index..).skip(1).collect(),
            None => Vec::new(),
        };
        Self {
            words,
            after_dashes,
        }
    }

    /// No words at all: what a verb gets that another verb calls.
    pub(crate) fn none() -> Self {
        Self::new(Vec::new())
    }

    /// Takes `name` out and says whether it was there.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() != before
    }

    /// Takes out one `name VALUE` or `name=VALUE`.
    pub(crate) fn option(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let with_sign = format!("{name}=");
        if let Some(index) = self
            .words
            .iter()
            .position(|word| word.starts_with(&with_sign))
        {
            let word = self.words.remove(index);
            return Ok(word.strip_prefix(&with_sign).map(str::to_owned));
        }
        let Some(index) = self.words.iter().position(|word| word == name) else {
            return Ok(None);
        };
        self.words.remove(index);
        if index < self.words.len() {
            Ok(Some(self.words.remove(index)))
        } else {
            Err(Failure::usage(format!("{name} needs a value")))
        }
    }

    /// Takes out every `name VALUE`.
    pub(crate) fn options(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let mut values = Vec::new();
        while let Some(value) = self.option(name)? {
            values.push(value);
        }
        Ok(values)
    }

    /// Takes out `name NUMBER`.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(text) = self.option(name)? else {
            return Ok(None);
        };
        let number = text
            .parse()
            .map_err(|_| Failure::usage(format!("{name} needs a whole number, not {text:?}")))?;
        Ok(Some(number))
    }

    /// Takes the first word left; a word that looks like a flag is refused.
    pub(crate) fn positional(&mut self) -> Result<Option<String>, Failure> {
        match self.words.first() {
            None => Ok(None),
            Some(word) if word.starts_with('-') => {
                Err(Failure::usage(format!("unknown flag {word}")))
            }
            Some(_) => Ok(Some(self.words.remove(0))),
        }
    }

    /// The words after a lone `--`.
    pub(crate) fn after_dashes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.after_dashes)
    }

    /// Fails if a word was not understood.
    pub(crate) fn finish(self) -> Outcome {
        match self.words.iter().chain(&self.after_dashes).next() {
            None => Ok(()),
            Some(word) => Err(Failure::usage(format!("what is {word:?}? see --help"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Arguments {
        Arguments::new(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn flags_and_options_are_taken_in_any_order() {
        let mut words = arguments("one --check -p a --seconds=5 -p b -- -x y");
        assert!(words.flag("--check"));
        assert!(!words.flag("--check"));
        assert_eq!(words.options("-p").unwrap(), ["a", "b"]);
        assert_eq!(words.number("--seconds").unwrap(), Some(5));
        assert_eq!(words.positional().unwrap().as_deref(), Some("one"));
        assert_eq!(words.after_dashes(), ["-x", "y"]);
        words.finish().unwrap();
    }

    #[test]
    fn what_nobody_took_is_an_error() {
        assert!(arguments("left").finish().is_err());
        assert!(arguments("-- left").finish().is_err());
        assert!(arguments("--what").positional().is_err());
        assert!(arguments("-p").option("-p").is_err());
        assert!(arguments("--seconds x").number("--seconds").is_err());
    }
}
