//! Conversations with the host over one channel, one after the other.
//!
//! A hello is answered by the thread that reads, whatever else is going on, so that a host that lost
//! patience is in touch again at once. All else is done by a thread a request, few at a time and one a
//! target. An answer goes out only while its conversation is the one that is held: what comes of a
//! request of a host that is gone, nobody hears.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guest_proto::{
    Answer, Decoded, Decoder, ErrorKind, Frame, Hello, MAX_MOUNTS_IN_ANSWER, MountedThing, Mounts,
    Refusal, Request, RequestId, Token, Versions, Welcome, decode_request, encode, encode_answer,
};

use crate::agent::{Agent, MAX_AT_ONCE, locked};
use crate::command;
use crate::refused::refusal;

/// How many bytes the mounts of one answer take at most, so that they fit into a frame.
const MAX_PAGE: usize = 32 << 10;
/// How long a port without a host is left alone before it is looked at again.
const WAIT_FOR_HOST: Duration = Duration::from_millis(50);

/// What an end of the stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The host has hung up; it or another may come again over the same stream.
    HostMayComeAgain,
    /// It is the end.
    Final,
}

/// One channel.
struct Line {
    agent: Arc<Agent>,
    writer: Mutex<Box<dyn Write + Send>>,
    /// The conversation that is held. Taken after `writer`, never before it.
    held: Mutex<Option<Token>>,
}

/// Talks with whoever is at the other end until the stream ends for good.
///
/// # Errors
/// Where it cannot be read any more.
pub fn hold(
    mut reader: impl Read,
    writer: impl Write + Send + 'static,
    agent: Arc<Agent>,
    ending: Ending,
) -> io::Result<()> {
    let line = Arc::new(Line {
        agent,
        writer: Mutex::new(Box::new(writer)),
        held: Mutex::new(None),
    });
    let mut decoder = Decoder::new();
    let mut piece = [0; 16 << 10];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => {
                line.hang_up();
                if ending == Ending::Final {
                    return Ok(());
                }
                std::thread::sleep(WAIT_FOR_HOST);
            }
            Ok(length) => {
                decoder.push(piece.get(..length).unwrap_or_default());
                while let Some(decoded) = decoder.take() {
                    // What is no frame is left over from a host that died in the middle of one.
                    if let Decoded::Frame(frame) = decoded {
                        line.take(&frame);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                line.hang_up();
                return Err(error);
            }
        }
    }
}

impl Line {
    fn hang_up(&self) {
        *locked(&self.held) = None;
    }

    fn holds(&self, token: Token) -> bool {
        *locked(&self.held) == Some(token)
    }

    fn take(self: &Arc<Self>, frame: &Frame) {
        let id = frame.id;
        match decode_request(&frame.body) {
            Ok(Request::Hello(hello)) => self.greet(id, &hello),
            _ if !self.holds(id.token) => self.refuse_stranger(id),
            Ok(request) => self.start(id, request),
            Err(error) => {
                let text = format!("this agent does not understand the request: {error}");
                self.answer(id, &Answer::Refused(refusal(ErrorKind::Invalid, text)));
            }
        }
    }

    fn greet(&self, id: RequestId, hello: &Hello) {
        *locked(&self.held) = Some(id.token);
        let Some(version) = Versions::OURS.agree(hello.versions) else {
            self.answer(id, &Answer::Incompatible(Versions::OURS));
            self.hang_up();
            return;
        };
        self.answer(
            id,
            &Answer::Welcome(Welcome {
                version,
                agent: env!("CARGO_PKG_VERSION").to_owned(),
                system: self.agent.system.kind(),
                kernel: self.agent.system.kernel(),
            }),
        );
    }

    /// A request under a token that no hello came with: one of a host before this one, or of one that
    /// does not know that the agent began anew.
    fn refuse_stranger(&self, id: RequestId) {
        let text = "this conversation is over: say hello again";
        let refusal = refusal(ErrorKind::NoConversation, text);
        self.write(id, &Answer::Refused(refusal), |_| true);
    }

    fn start(self: &Arc<Self>, id: RequestId, request: Request) {
        let Some(at_work) = self.agent.begin_work() else {
            let text = format!("{MAX_AT_ONCE} requests are being worked at");
            self.answer(id, &Answer::Refused(refusal(ErrorKind::Busy, text)));
            return;
        };
        let line = Arc::clone(self);
        let spawned = std::thread::Builder::new().spawn(move || {
            let answer = line.work(id, &request);
            drop(request);
            // Whoever hears the answer may ask for the next.
            drop(at_work);
            line.answer(id, &answer);
        });
        if let Err(error) = spawned {
            let text = format!("no thread for the request: {error}");
            self.answer(id, &Answer::Refused(refusal(ErrorKind::Failed, text)));
        }
    }

    fn work(self: &Arc<Self>, id: RequestId, request: &Request) -> Answer {
        // What ends a mount at any price waits for nobody.
        let is_forced = matches!(request, Request::Unmount(unmount) if unmount.lazy);
        let target = request.target().filter(|_| !is_forced);
        let _busy = match target.map(|target| self.agent.keep(target)) {
            Some(None) => {
                let text = "an earlier request for this target is still being worked at";
                return Answer::Refused(refusal(ErrorKind::Busy, text));
            }
            Some(busy) => busy,
            None => None,
        };
        let done = match request {
            Request::MountDisk(mount) => self.agent.system.mount_disk(mount).map(Answer::Mounted),
            Request::MountShare(mount) => self.agent.system.mount_share(mount).map(Answer::Mounted),
            Request::MountSmb(mount) => self.agent.system.mount_smb(mount).map(Answer::Mounted),
            Request::MountMemory(mount) => {
                self.agent.system.mount_memory(mount).map(Answer::Mounted)
            }
            Request::Unmount(unmount) => self.agent.system.unmount(unmount).map(|()| Answer::Done),
            Request::UnplugDisk(unplug) => {
                self.agent.system.unplug_disk(unplug).map(|()| Answer::Done)
            }
            Request::ListMounts { after } => self.page(after.as_deref()),
            Request::Sync => self.agent.system.sync().map(|()| Answer::Done),
            Request::Freeze {
                target,
                thaw_after_seconds,
            } => {
                let limit = Duration::from_secs((*thaw_after_seconds).into());
                let frozen = self.agent.frozen.freeze(&self.agent.system, target, limit);
                frozen.map(|()| Answer::Done)
            }
            Request::Thaw { target } => {
                let thawed = self.agent.frozen.thaw(&self.agent.system, target);
                thawed.map(|()| Answer::Done)
            }
            Request::Usage { target } => self.agent.system.usage(target).map(Answer::Usage),
            Request::Run(run) => command::run(
                run,
                &mut |stream, bytes| self.answer(id, &Answer::Output { stream, bytes }),
                &|| self.holds(id.token),
            ),
            Request::PowerOff => self.agent.system.power_off().map(|()| Answer::Done),
            // Answered where it was read.
            Request::Hello(_) => Ok(Answer::Done),
        };
        done.unwrap_or_else(Answer::Refused)
    }

    fn page(&self, after: Option<&str>) -> Result<Answer, Refusal> {
        let all = self.agent.system.mounts()?;
        let is_behind =
            |mount: &&MountedThing| after.is_none_or(|after| mount.target.as_str() > after);
        let mut behind = all.iter().filter(is_behind).peekable();
        let (mut mounts, mut size) = (Vec::new(), 0);
        while let Some(mount) = behind.peek() {
            // Escaped in JSON, a byte becomes six at most; names of mounts hardly ever have such.
            size += 128 + mount.target.len() + mount.source.len() + mount.file_system.len();
            if !mounts.is_empty() && (size > MAX_PAGE || mounts.len() == MAX_MOUNTS_IN_ANSWER) {
                break;
            }
            mounts.extend(behind.next().cloned());
        }
        let more = behind.peek().is_some();
        Ok(Answer::Mounts(Mounts { mounts, more }))
    }

    /// Answers, where the conversation is still held; whether it is.
    fn answer(&self, id: RequestId, answer: &Answer) -> bool {
        self.write(id, answer, |line| line.holds(id.token))
    }

    fn write(&self, id: RequestId, answer: &Answer, may: impl Fn(&Self) -> bool) -> bool {
        let body = encode_answer(answer).or_else(|error| {
            let text = format!("the answer cannot be told: {error}");
            encode_answer(&Answer::Refused(refusal(ErrorKind::Failed, text)))
        });
        let frame = body.map(|body| Frame {
            id,
            body: body.as_str().to_owned(),
        });
        let Some(bytes) = frame.ok().and_then(|frame| encode(&frame).ok()) else {
            return false;
        };
        let mut writer = locked(&self.writer);
        may(self)
            && writer
                .write_all(&bytes)
                .and_then(|()| writer.flush())
                .is_ok()
    }
}

#[cfg(test)]
mod tests;
