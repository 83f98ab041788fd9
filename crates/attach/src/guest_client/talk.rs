//! One conversation after the other over a channel: sending a request, and finding its answer among
//! what comes.

use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use guest_proto::{
    Answer, Decoded, Decoder, Frame, Hello, Request, RequestId, Run, Stream, Token, Versions,
    Welcome, decode_answer, encode, encode_request,
};

use super::{Channel, CommandEnd, checks, is_timeout};
use crate::sides::{Fault, FaultKind};

/// How many bytes that are no answer are read before one is given up on.
const MAX_STRAY: u64 = 4 << 20;
/// After how long without an answer a hello is said again: one that was said to a guest that was
/// still booting may be lost.
const HELLO_AGAIN: Duration = Duration::from_secs(3);
/// How much is read at a time.
const PIECE: usize = 16 << 10;
/// What a frame costs beside its body, rounded up.
const FRAME_COST: u64 = 64;
/// By how much the output of a command may pass its limit: the guest stops after the piece that does.
const OUTPUT_SLACK: u64 = 64 << 10;

/// A fault, and whether the channel is at its end.
pub(super) struct TalkFault {
    pub(super) fault: Fault,
    pub(super) channel_ended: bool,
}

impl From<Fault> for TalkFault {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            channel_ended: false,
        }
    }
}

/// The channel with the conversation on it.
pub(super) struct Talk {
    channel: Box<dyn Channel>,
    decoder: Decoder,
    /// Of the conversation that is open, if one is.
    token: Option<Token>,
    /// Of the last request.
    number: u32,
}

/// When waiting ends, and how many bytes of no use it may bring.
struct Wait {
    end: Instant,
    limit: Duration,
    stray_left: u64,
}

impl Wait {
    fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            end: now.checked_add(limit).unwrap_or(now),
            limit,
            stray_left: MAX_STRAY,
        }
    }

    fn left(&self) -> Option<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Counts bytes of no use.
    fn stray(&mut self, bytes: u64) -> Result<(), Fault> {
        let left = self.stray_left.checked_sub(bytes);
        self.stray_left = left.ok_or_else(|| checks::nonsense("a flood that holds no answer"))?;
        Ok(())
    }

    fn over(&self) -> Fault {
        let seconds = self.limit.as_secs_f32();
        let text = format!("the guest has not answered within {seconds} seconds");
        Fault::new(FaultKind::Unanswered, text)
    }
}

impl Talk {
    pub(super) fn new(channel: Box<dyn Channel>) -> Self {
        Self {
            channel,
            decoder: Decoder::new(),
            token: None,
            number: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.token.is_some()
    }

    /// Opens a conversation; the one before it is over.
    pub(super) fn greet(&mut self, limit: Duration) -> Result<Welcome, TalkFault> {
        self.token = None;
        let token = Token::random();
        let mut wait = Wait::new(limit);
        loop {
            let id = self.next_id(token);
            let hello = Hello {
                versions: Versions::OURS,
                client: concat!("cvol ", env!("CARGO_PKG_VERSION")).to_owned(),
            };
            let again = wait.left().ok_or_else(|| wait.over())?.min(HELLO_AGAIN);
            let sent = self.send(id, &Request::Hello(hello), Instant::now() + again);
            // A channel without room is that of a guest that does not read yet.
            match sent {
                Err(failed) if failed.fault.kind() != FaultKind::Unanswered => return Err(failed),
                Err(failed) if failed.channel_ended => return Err(failed),
                _ => {}
            }
            let end = Instant::now() + again;
            // The answer to a hello of this conversation that was said before is as good.
            let is_ours = |other: RequestId| other.token == token;
            if let Some(frame) = self.receive(&mut wait, end, is_ours)? {
                let welcome = checks::welcome(read(&frame)?)?;
                self.token = Some(token);
                return Ok(welcome);
            }
        }
    }

    /// Asks and waits for the answer. After a fault that leaves open what became of the request, the
    /// conversation is over.
    pub(super) fn ask(&mut self, request: &Request, limit: Duration) -> Result<Answer, TalkFault> {
        let mut wait = Wait::new(limit);
        self.closing(|talk| {
            let id = talk.begin(request, &wait)?;
            let answer = talk.answer_to(id, &mut wait)?;
            Ok(answer)
        })
    }

    /// Runs a command.
    pub(super) fn run(
        &mut self,
        run: &Run,
        limit: Duration,
        output: &mut dyn FnMut(Stream, &[u8]) -> ControlFlow<()>,
    ) -> Result<CommandEnd, TalkFault> {
        let mut wait = Wait::new(limit);
        let mut room = run.limit_output.saturating_add(OUTPUT_SLACK);
        self.closing(|talk| {
            let id = talk.begin(&Request::Run(run.clone()), &wait)?;
            loop {
                match talk.answer_to(id, &mut wait)? {
                    Answer::Output { stream, bytes } => {
                        let length = u64::try_from(bytes.0.len()).unwrap_or(u64::MAX);
                        let left = room.checked_sub(length);
                        room =
                            left.ok_or_else(|| checks::nonsense("more output than asked for"))?;
                        if output(stream, &bytes.0).is_break() {
                            let text = "the command was left to its end";
                            return Err(Fault::new(FaultKind::Unanswered, text).into());
                        }
                    }
                    answer => return Ok(checks::exited(answer)?),
                }
            }
        })
    }

    /// Carries out, and ends the conversation where it is not known any more what the guest is at.
    fn closing<T>(
        &mut self,
        ask: impl FnOnce(&mut Self) -> Result<T, TalkFault>,
    ) -> Result<T, TalkFault> {
        let answer = ask(self);
        if answer.is_err() {
            self.token = None;
        }
        answer
    }

    fn begin(&mut self, request: &Request, wait: &Wait) -> Result<RequestId, TalkFault> {
        let no_talk = || Fault::new(FaultKind::Unanswered, "there is no conversation");
        let token = self.token.ok_or_else(no_talk)?;
        let id = self.next_id(token);
        self.send(id, request, wait.end)?;
        Ok(id)
    }

    fn answer_to(&mut self, id: RequestId, wait: &mut Wait) -> Result<Answer, TalkFault> {
        let end = wait.end;
        let frame = self.receive(wait, end, |other| other == id)?;
        Ok(read(&frame.ok_or_else(|| wait.over())?)?)
    }

    fn next_id(&mut self, token: Token) -> RequestId {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        RequestId { token, number }
    }

    fn send(&mut self, id: RequestId, request: &Request, end: Instant) -> Result<(), TalkFault> {
        let refused = |error: &dyn std::fmt::Display| {
            Fault::new(
                FaultKind::Invalid,
                format!("the guest cannot be asked: {error}"),
            )
        };
        let body = encode_request(request).map_err(|error| refused(&error))?;
        let frame = Frame {
            id,
            body: body.as_str().to_owned(),
        };
        let bytes = encode(&frame).map_err(|error| refused(&error))?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = "the guest has not taken the request in time";
                return Err(Fault::new(FaultKind::Unanswered, text).into());
            }
            match self.channel.write(rest, left) {
                Ok(0) => return Err(ended()),
                Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {}
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(())
    }

    /// The next frame that is wanted, until `end`. What is not wanted is dropped.
    fn receive(
        &mut self,
        wait: &mut Wait,
        end: Instant,
        is_wanted: impl Fn(RequestId) -> bool,
    ) -> Result<Option<Frame>, TalkFault> {
        let mut piece = [0; PIECE];
        loop {
            let skipped = self.decoder.skipped();
            while let Some(decoded) = self.decoder.take() {
                match decoded {
                    Decoded::Frame(frame) if is_wanted(frame.id) => return Ok(Some(frame)),
                    // Late answers, and what was cut off when a client before us went away.
                    Decoded::Frame(frame) => wait.stray(bytes_of(&frame))?,
                    Decoded::Error(_) => wait.stray(FRAME_COST)?,
                }
            }
            wait.stray(self.decoder.skipped() - skipped)?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let length = match self.channel.read(&mut piece, left) {
                Ok(0) => return Err(ended()),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted || is_timeout(&error) => {
                    continue;
                }
                Err(error) => return Err(broken(error)),
            };
            self.decoder.push(piece.get(..length).unwrap_or_default());
        }
    }
}

fn bytes_of(frame: &Frame) -> u64 {
    u64::try_from(frame.body.len()).map_or(u64::MAX, |length| length.saturating_add(FRAME_COST))
}

fn read(frame: &Frame) -> Result<Answer, Fault> {
    decode_answer(&frame.body)
        .map_err(|error| checks::nonsense("an answer that cannot be read").because(error))
}

fn ended() -> TalkFault {
    broken(io::ErrorKind::UnexpectedEof.into())
}

fn broken(error: io::Error) -> TalkFault {
    let (kind, text) = match error.kind() {
        io::ErrorKind::Unsupported => (FaultKind::Unsupported, "there is no way to the guest"),
        _ => (FaultKind::Unanswered, "the channel to the guest has ended"),
    };
    TalkFault {
        fault: Fault::new(kind, text).because(error),
        channel_ended: true,
    }
}
