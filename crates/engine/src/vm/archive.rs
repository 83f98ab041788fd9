//! A small archive for the kernel to unpack into its first file system: the "newc" form of cpio, which
//! is all that Linux reads. Archives may stand one behind the other; what comes later is put over what
//! came before.
//!
//! The same entries give the same bytes.

use std::io::{self, Write};

/// Archives behind one another start at a multiple of this, and so does the end of one.
const BLOCK: usize = 512;
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that is being written.
pub(super) struct Archive<W> {
    out: W,
    written: usize,
    /// The number of the next entry: the kernel takes entries of one number for one file.
    next: u32,
}

impl<W: Write> Archive<W> {
    /// An archive behind `before` bytes of others, from the next start of a block.
    pub(super) fn after(before: u64, out: W) -> io::Result<Self> {
        let before = usize::try_from(before).map_err(io::Error::other)?;
        let mut archive = Self {
            out,
            written: before,
            next: 1,
        };
        archive.pad(BLOCK)?;
        Ok(archive)
    }

    /// Adds a directory; those above it have to be there.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY, &[])
    }

    /// Adds a program.
    pub(super) fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(name, PROGRAM, content)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.next = 0;
        self.entry("TRAILER!!!", 0, &[])?;
        self.pad(BLOCK)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        // number, mode, owner, group, links, time, size, device, device of a node, name, checksum
        let fields = [
            self.next, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08X}"));
        }
        header.push_str(name);
        header.push('\0');
        self.write(header.as_bytes())?;
        self.pad(4)?;
        self.write(content)?;
        self.pad(4)?;
        self.next += 1;
        Ok(())
    }

    fn pad(&mut self, multiple: usize) -> io::Result<()> {
        let missing = self.written.next_multiple_of(multiple) - self.written;
        self.write(&vec![0; missing])
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len();
        self.out.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_content_at_multiples_of_four() {
        let mut archive = Archive::after(0, Vec::new()).unwrap();
        archive.directory("sbin").unwrap();
        archive.program("sbin/agent", b"12345").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % BLOCK, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("07070100000001000041ED"));
        // Number, mode 100755, two zeros, one link, time, five bytes, devices, a name of eleven bytes.
        let program = "0707010000000200 0081ED 0000000000000000 00000001 00000000 00000005";
        assert!(text.contains(&program.replace(' ', "")));
        assert!(text.contains("0000000B00000000sbin/agent\0"));
        assert_eq!(text.find("12345").unwrap() % 4, 0);
        assert!(text.contains("TRAILER!!!\0"));
    }

    #[test]
    fn an_archive_behind_another_starts_at_a_block() {
        for before in [0, 1, 511, 512, 513] {
            let bytes = Archive::after(before, Vec::new())
                .unwrap()
                .finish()
                .unwrap();
            let start = bytes.iter().position(|byte| *byte == b'0').unwrap();
            assert_eq!((usize::try_from(before).unwrap() + start) % BLOCK, 0);
        }
    }
}
