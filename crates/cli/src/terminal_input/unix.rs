//! Unix: the controlling terminal, read byte by byte with nothing shown. Ctrl-C is read as a byte, so that the
//! terminal is put back in order whatever happens.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};

use engine::Zeroizing;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

const TERMINAL: &str = "/dev/tty";
/// More than any password has.
const MAX_LINE: usize = 4096;

/// What keys send.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: [u8; 2] = [8, 127];
const CTRL_U: u8 = 21;

/// Puts the terminal back into the state it was in.
struct Restored<'a> {
    terminal: &'a File,
    state: Termios,
}

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.state);
    }
}

/// Whether there is a terminal to ask on.
pub(crate) fn is_there() -> bool {
    open().is_ok()
}

fn open() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(TERMINAL)
}

/// Asks for a line that is not shown; without its end.
pub(crate) fn read_hidden(prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let terminal = open()?;
    let state = tcgetattr(&terminal)?;
    let mut hidden = state.clone();
    hidden
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    let _restored = Restored {
        terminal: &terminal,
        state,
    };
    // What was typed before is not part of it.
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    (&terminal).write_all(prompt.as_bytes())?;
    let line = read_line(&terminal);
    (&terminal).write_all(b"\n")?;
    line
}

fn read_line(mut terminal: &File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Never grown, so that no copy is left behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut byte = Zeroizing::new([0]);
    loop {
        if terminal.read(&mut *byte)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        match byte[0] {
            b'\n' | b'\r' => return Ok(line),
            CTRL_C => return Err(io::Error::from(io::ErrorKind::Interrupted)),
            CTRL_D if line.is_empty() => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            CTRL_D => return Ok(line),
            CTRL_U => line.clear(),
            erase if BACKSPACE.contains(&erase) => remove_character(&mut line),
            other if line.len() < MAX_LINE => line.push(other),
            _ => {}
        }
    }
}

/// Removes the last character of UTF-8.
fn remove_character(line: &mut Vec<u8>) {
    while let Some(byte) = line.pop() {
        if byte & 0xC0 != 0x80 {
            return;
        }
    }
}

/// A file that the caller of this program left open.
pub(crate) fn open_inherited(number: u32) -> io::Result<File> {
    File::open(format!("/dev/fd/{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_character_is_a_whole_one() {
        let mut line = "a\u{e4}\u{1f600}".as_bytes().to_vec();
        remove_character(&mut line);
        assert_eq!(line, "a\u{e4}".as_bytes());
        remove_character(&mut line);
        remove_character(&mut line);
        remove_character(&mut line);
        assert_eq!(line, b"");
    }
}
