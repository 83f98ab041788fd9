//! Fixed newstyle negotiation: from the greeting to a client that uses an export.
//!
//! Bounded whatever the client says: the length of an option, the number of options, and (by the
//! caller, on the socket) the time.

use std::io::{self, Read, Write};

use zerocopy::{FromBytes, IntoBytes};

use crate::export::Export;
use crate::format::{
    EXPORT_NAME_PADDING, Greeting, INITIAL_MAGIC, MAX_STRING_LENGTH, OPTION_MAGIC,
    OPTION_REPLY_MAGIC, OptionHeader, OptionReplyHeader, handshake_flag, info, option,
    option_reply,
};

/// The longest data of an option that is read, in bytes.
const MAX_OPTION_LENGTH: u32 = 64 * 1024;
/// How many options a client may send.
const MAX_OPTIONS: usize = 1024;
/// The largest request that a client may send, in bytes.
pub(crate) const MAX_REQUEST_LENGTH: u32 = 32 * 1024 * 1024;
/// The number of the one metadata context there is.
pub(crate) const BASE_ALLOCATION_ID: u32 = 1;
/// Its name.
const BASE_ALLOCATION: &str = "base:allocation";

/// What a client and the server agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Which export, by its place in the list.
    pub(crate) export: usize,
    /// Reads are answered in chunks.
    pub(crate) structured_replies: bool,
    /// The client may ask for block status.
    pub(crate) base_allocation: bool,
}

/// Why a negotiation ended without an agreement.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The client left by the rules.
    #[error("the client left before it chose an export")]
    Aborted,
    /// The client does not speak the protocol.
    #[error("the client broke the protocol: {0}")]
    Protocol(&'static str),
    /// The connection failed.
    #[error("the connection failed while it was negotiated")]
    Connection(#[from] io::Error),
}

type Result<T> = std::result::Result<T, HandshakeError>;

/// Negotiates with a new client.
pub(crate) fn negotiate<S: Read + Write>(stream: S, exports: &[Export<'_>]) -> Result<Agreement> {
    let mut handshake = Handshake {
        stream,
        exports,
        no_zeroes: false,
        structured_replies: false,
        context_of: None,
    };
    handshake.greet()?;
    for _ in 0..MAX_OPTIONS {
        if let Some(export) = handshake.answer_option()? {
            return Ok(Agreement {
                export,
                structured_replies: handshake.structured_replies,
                base_allocation: handshake.context_of == Some(export),
            });
        }
    }
    Err(HandshakeError::Protocol("too many options"))
}

/// What a refused option gets: the reply and why, for people.
type Refusal = (u32, &'static str);

struct Handshake<'e, S> {
    stream: S,
    exports: &'e [Export<'e>],
    no_zeroes: bool,
    structured_replies: bool,
    /// The export for which `base:allocation` was agreed on.
    context_of: Option<usize>,
}

impl<S: Read + Write> Handshake<'_, S> {
    fn greet(&mut self) -> Result<()> {
        let greeting = Greeting {
            initial_magic: INITIAL_MAGIC.into(),
            option_magic: OPTION_MAGIC.into(),
            flags: (handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES).into(),
        };
        self.stream.write_all(greeting.as_bytes())?;
        let mut flags = [0; 4];
        self.stream.read_exact(&mut flags)?;
        let flags = u32::from_be_bytes(flags);
        let known = handshake_flag::FIXED_NEWSTYLE | handshake_flag::NO_ZEROES;
        if flags & !u32::from(known) != 0 {
            return Err(HandshakeError::Protocol("unknown flags"));
        }
        self.no_zeroes = flags & u32::from(handshake_flag::NO_ZEROES) != 0;
        Ok(())
    }

    /// Reads one option and answers it; the place of the export where that ended the negotiation.
    fn answer_option(&mut self) -> Result<Option<usize>> {
        let mut header = [0; size_of::<OptionHeader>()];
        self.stream.read_exact(&mut header)?;
        let header = OptionHeader::read_from_bytes(&header)
            .map_err(|_| HandshakeError::Protocol("an option without a head"))?;
        if header.magic.get() != OPTION_MAGIC {
            return Err(HandshakeError::Protocol("an option without its magic"));
        }
        let (option, length) = (header.option.get(), header.length.get());
        if length > MAX_OPTION_LENGTH {
            return self.skip_long_option(option, length);
        }
        let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
        self.stream.read_exact(&mut data)?;
        match option {
            option::EXPORT_NAME => self.export_name(&data).map(Some),
            option::GO => self.describe(option, &data),
            option::INFO => self.describe(option, &data).map(|_| None),
            option::ABORT => {
                // The client may be gone already.
                let _ = self.reply(option, option_reply::ACK, &[]);
                Err(HandshakeError::Aborted)
            }
            option::LIST => self.list(&data).map(|()| None),
            option::STRUCTURED_REPLY => {
                if data.is_empty() {
                    self.structured_replies = true;
                    self.reply(option, option_reply::ACK, &[])?;
                } else {
                    self.refuse(option, (option_reply::ERR_INVALID, "takes no data"))?;
                }
                Ok(None)
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => {
                self.meta_context(option, &data).map(|()| None)
            }
            _ => {
                self.refuse(
                    option,
                    (option_reply::ERR_UNSUP, "this option is not known"),
                )?;
                Ok(None)
            }
        }
    }

    /// Reads past data that nobody needs in memory.
    fn skip_long_option(&mut self, option: u32, length: u32) -> Result<Option<usize>> {
        if option == option::EXPORT_NAME || length > MAX_REQUEST_LENGTH {
            return Err(HandshakeError::Protocol("an option of absurd length"));
        }
        let mut rest = (&mut self.stream).take(u64::from(length));
        io::copy(&mut rest, &mut io::sink())?;
        self.refuse(
            option,
            (option_reply::ERR_TOO_BIG, "the option is too long"),
        )?;
        Ok(None)
    }

    /// The oldest way to choose an export: no answer but the export's, or the end.
    fn export_name(&mut self, name: &[u8]) -> Result<usize> {
        let (place, export) = self
            .find(name)
            .ok_or(HandshakeError::Protocol("no such export"))?;
        let mut answer = export_info(export);
        if !self.no_zeroes {
            answer.resize(answer.len() + EXPORT_NAME_PADDING, 0);
        }
        self.stream.write_all(&answer)?;
        Ok(place)
    }

    /// `INFO` and `GO`: what an export is, in as much detail as was asked for.
    fn describe(&mut self, option: u32, data: &[u8]) -> Result<Option<usize>> {
        let Some((name, wanted)) = parse_info_request(data) else {
            self.refuse(option, (option_reply::ERR_INVALID, "the option is cut off"))?;
            return Ok(None);
        };
        let Some((place, export)) = self.find(name) else {
            self.refuse(
                option,
                (option_reply::ERR_UNKNOWN, "there is no such export"),
            )?;
            return Ok(None);
        };
        let mut answers = vec![(info::EXPORT, export_info(export))];
        let asked = |kind: u16| {
            wanted
                .chunks_exact(2)
                .any(|item| item == kind.to_be_bytes())
        };
        if asked(info::NAME) {
            answers.push((info::NAME, export.name().as_bytes().to_vec()));
        }
        if let Some(description) = export.description()
            && asked(info::DESCRIPTION)
        {
            answers.push((info::DESCRIPTION, description.as_bytes().to_vec()));
        }
        // Told unasked too: it is short, and clients that know it keep within it.
        answers.push((info::BLOCK_SIZE, block_sizes(export)));
        for (kind, content) in answers {
            let mut payload = kind.to_be_bytes().to_vec();
            payload.extend(content);
            self.reply(option, option_reply::INFO, &payload)?;
        }
        self.reply(option, option_reply::ACK, &[])?;
        Ok(Some(place))
    }

    fn list(&mut self, data: &[u8]) -> Result<()> {
        if !data.is_empty() {
            return self.refuse(option::LIST, (option_reply::ERR_INVALID, "takes no data"));
        }
        for export in self.exports {
            let name = export.name().as_bytes();
            let mut payload = length_of(name).to_be_bytes().to_vec();
            payload.extend(name);
            payload.extend(export.description().unwrap_or_default().as_bytes());
            self.reply(option::LIST, option_reply::SERVER, &payload)?;
        }
        self.reply(option::LIST, option_reply::ACK, &[])
    }

    fn meta_context(&mut self, option: u32, data: &[u8]) -> Result<()> {
        let is_set = option == option::SET_META_CONTEXT;
        if is_set {
            self.context_of = None;
        }
        let found = match self.find_context(is_set, data) {
            Ok(found) => found,
            Err(refusal) => return self.refuse(option, refusal),
        };
        let (place, matches) = found;
        if matches {
            let id = if is_set { BASE_ALLOCATION_ID } else { 0 };
            let mut payload = id.to_be_bytes().to_vec();
            payload.extend(BASE_ALLOCATION.as_bytes());
            self.reply(option, option_reply::META_CONTEXT, &payload)?;
            if is_set {
                self.context_of = Some(place);
            }
        }
        self.reply(option, option_reply::ACK, &[])
    }

    /// The export that is asked about, and whether the queries match `base:allocation`.
    fn find_context(
        &self,
        is_set: bool,
        data: &[u8],
    ) -> std::result::Result<(usize, bool), Refusal> {
        if is_set && !self.structured_replies {
            return Err((
                option_reply::ERR_INVALID,
                "structured replies have to be agreed on first",
            ));
        }
        let (name, queries) =
            parse_queries(data).ok_or((option_reply::ERR_INVALID, "the option is cut off"))?;
        let (place, _) = self
            .find(name)
            .ok_or((option_reply::ERR_UNKNOWN, "there is no such export"))?;
        let matches = if is_set {
            queries.contains(&BASE_ALLOCATION.as_bytes())
        } else {
            let leaf = |query: &&[u8]| *query == b"base:" || *query == BASE_ALLOCATION.as_bytes();
            queries.is_empty() || queries.iter().any(leaf)
        };
        Ok((place, matches))
    }

    /// The export of this name; the empty name is the first.
    fn find(&self, name: &[u8]) -> Option<(usize, &Export<'_>)> {
        let mut exports = self.exports.iter().enumerate();
        exports
            .find(|(_, export)| export.name().as_bytes() == name)
            .or_else(|| {
                let first = self.exports.first().filter(|_| name.is_empty())?;
                Some((0, first))
            })
    }

    fn refuse(&mut self, option: u32, (reply, message): Refusal) -> Result<()> {
        self.reply(option, reply, message.as_bytes())
    }

    fn reply(&mut self, option: u32, reply: u32, payload: &[u8]) -> Result<()> {
        let header = OptionReplyHeader {
            magic: OPTION_REPLY_MAGIC.into(),
            option: option.into(),
            reply: reply.into(),
            length: length_of(payload).into(),
        };
        let mut message = header.as_bytes().to_vec();
        message.extend(payload);
        Ok(self.stream.write_all(&message)?)
    }
}

/// Bytes of something whose length was bounded before.
fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Size and flags of an export, as the protocol lays them out.
fn export_info(export: &Export<'_>) -> Vec<u8> {
    let mut bytes = export.size().get().to_be_bytes().to_vec();
    bytes.extend(export.transmission_flags().to_be_bytes());
    bytes
}

/// The smallest, best and largest request. Any byte can be addressed; whole physical sectors, and
/// pages of 4 KiB at least, need no reading before writing.
fn block_sizes(export: &Export<'_>) -> Vec<u8> {
    let physical = export.disk().physical_sector_size().bytes().max(4096);
    let preferred = u32::try_from(physical).unwrap_or(4096);
    [1, preferred, MAX_REQUEST_LENGTH]
        .into_iter()
        .flat_map(u32::to_be_bytes)
        .collect()
}

/// Takes a string after its length off the front of `data`.
fn take_string<'d>(data: &mut &'d [u8]) -> Option<&'d [u8]> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > MAX_STRING_LENGTH {
        return None;
    }
    let (string, rest) = rest.split_at_checked(length)?;
    *data = rest;
    Some(string)
}

/// The name and the wanted kinds of information, two bytes each.
fn parse_info_request(mut data: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = take_string(&mut data)?;
    let (count, wanted) = data.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_be_bytes(*count));
    (wanted.len() == count * 2).then_some((name, wanted))
}

/// The name of an export and the queries for contexts.
fn parse_queries(mut data: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let name = take_string(&mut data)?;
    let (count, mut rest) = data.split_first_chunk::<4>()?;
    let mut queries = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        // Ends at the first that is not there, so the claimed number bounds nothing in memory.
        queries.push(take_string(&mut rest)?);
    }
    rest.is_empty().then_some((name, queries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_that_run_past_their_option_are_refused() {
        for (data, expected) in [
            (&b"\0\0\0\x02ab\0\0"[..], Some((&b"ab"[..], &b""[..]))),
            (b"\0\0\0\x02ab\0\x01\0\x03", Some((b"ab", b"\0\x03"))),
            (b"\0\0\0\x02ab\0\x02\0\x03", None),
            (b"\0\0\0\x03ab", None),
            (b"\xff\xff\xff\xffab\0\0", None),
            (b"\0\0\0", None),
        ] {
            assert_eq!(parse_info_request(data), expected, "{data:?}");
        }
        assert_eq!(parse_queries(b"\0\0\0\0\xff\xff\xff\xff"), None);
        let (_, queries) = parse_queries(b"\0\0\0\0\0\0\0\x01\0\0\0\x01x").unwrap();
        assert_eq!(queries, [b"x"]);
    }
}
