//! Windows: the console, by the crate that knows how to hide what is typed there.

use std::fs::File;
use std::io::{self, Write as _};

use engine::Zeroizing;

/// Whether there is a console to ask on.
pub(crate) fn is_there() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}

/// Asks for a line that is not shown; without its end.
pub(crate) fn read_hidden(prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    if !is_there() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    let mut stderr = io::stderr().lock();
    stderr.write_all(prompt.as_bytes())?;
    stderr.flush()?;
    let line = Zeroizing::new(rpassword::read_password()?);
    Ok(Zeroizing::new(line.as_bytes().to_vec()))
}

/// Not possible: handles have no small numbers here.
pub(crate) fn open_inherited(_number: u32) -> io::Result<File> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "on Windows only 0, standard input, can be read",
    ))
}
