//! Exit codes: a contract with scripts, mapped from the kind of an error alone.

use engine::ErrorKind;

/// Everything went well.
pub(crate) const OK: u8 = 0;
/// A check found problems.
pub(crate) const PROBLEMS_FOUND: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;
/// Stopped by Ctrl-C, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The table shown by `cvol --help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    success
  1    a check found problems
  2    wrong usage
  3    not found
  4    exists already
  5    in use
  6    damaged
  7    not supported
  8    input or output failed
  9    a login was refused
  130  interrupted";

/// The exit code of a failure of this kind.
pub(crate) fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument => USAGE,
        ErrorKind::NotFound => 3,
        ErrorKind::AlreadyExists => 4,
        ErrorKind::InUse => 5,
        ErrorKind::Damaged => 6,
        ErrorKind::Unsupported => 7,
        ErrorKind::Denied => 9,
        ErrorKind::Interrupted => INTERRUPTED,
        // Io, NoSpace, and kinds that a later engine may add.
        _ => 8,
    }
}

/// The name of a kind in JSON error documents.
pub(crate) fn name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument => "invalid_argument",
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::InUse => "in_use",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Denied => "denied",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::NoSpace => "no_space",
        _ => "io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_help_text() {
        for (kind, expected, words) in [
            (ErrorKind::InvalidArgument, 2, "wrong usage"),
            (ErrorKind::NotFound, 3, "not found"),
            (ErrorKind::AlreadyExists, 4, "exists already"),
            (ErrorKind::InUse, 5, "in use"),
            (ErrorKind::Damaged, 6, "damaged"),
            (ErrorKind::Unsupported, 7, "not supported"),
            (ErrorKind::Io, 8, "input or output failed"),
            (ErrorKind::Denied, 9, "a login was refused"),
            (ErrorKind::NoSpace, 8, "input or output failed"),
            (ErrorKind::Interrupted, 130, "interrupted"),
        ] {
            assert_eq!(code(kind), expected);
            assert!(
                HELP.contains(&format!("  {expected:<4} {words}")),
                "{words}"
            );
        }
    }
}
