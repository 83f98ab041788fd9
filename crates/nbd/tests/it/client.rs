//! A client of its own, written to the protocol and not to the server: it checks what it is sent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use blockio::Disk;
use nbd::{Endpoint, Export, ServeError, Server, ServerEvent, ServerOptions, StopHandle};

pub(crate) const GO: u32 = 7;
pub(crate) const STRUCTURED_REPLY: u32 = 8;
pub(crate) const SET_META_CONTEXT: u32 = 10;
pub(crate) const ACK: u32 = 1;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const WRITE_ZEROES: u16 = 6;
pub(crate) const BLOCK_STATUS: u16 = 7;

pub(crate) const FUA: u16 = 1;
pub(crate) const NO_HOLE: u16 = 2;
pub(crate) const DF: u16 = 4;
pub(crate) const REQ_ONE: u16 = 8;

/// A server on a port of its own, stopped when it is dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) stop: StopHandle,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    pub(crate) events: std::sync::mpsc::Receiver<ServerEvent>,
}

impl TestServer {
    pub(crate) fn start(disk: Arc<dyn Disk>) -> Self {
        Self::start_with(disk, ServerOptions::default())
    }

    pub(crate) fn start_with(disk: Arc<dyn Disk>, options: ServerOptions) -> Self {
        let any = Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = Server::bind(&any).unwrap();
        let Endpoint::Tcp(address) = *server.endpoint() else {
            panic!("another endpoint");
        };
        let stop = server.stop_handle();
        let (sender, events) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let export = Export::new("data", &*disk)?.described("a disk of the tests");
            let sender = std::sync::Mutex::new(sender);
            Ok::<_, nbd::ExportError>(server.serve(&[export], options, &|event| {
                // The test may have looked away.
                let _ = sender.lock().unwrap().send(event);
            }))
        });
        let thread = std::thread::spawn(move || thread.join().unwrap().unwrap());
        Self {
            address,
            stop,
            thread: Some(thread),
            events,
        }
    }

    /// Stops and waits.
    pub(crate) fn finish(mut self) -> Result<(), ServeError> {
        self.stop.stop();
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits for a server that stops by itself.
    pub(crate) fn wait(mut self) -> Result<(), ServeError> {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn structured(&self) -> Client {
        let mut client = self.connect();
        client.option(STRUCTURED_REPLY, &[]);
        assert_eq!(client.option_reply(STRUCTURED_REPLY), (ACK, vec![]));
        client.option(
            SET_META_CONTEXT,
            &context_request("data", &["base:allocation"]),
        );
        let (reply, payload) = client.option_reply(SET_META_CONTEXT);
        assert_eq!((reply, &payload[4..]), (4, &b"base:allocation"[..]));
        client.context = u32::from_be_bytes(payload[..4].try_into().unwrap());
        assert_eq!(client.option_reply(SET_META_CONTEXT), (ACK, vec![]));
        client.go("data");
        client.is_structured = true;
        client
    }

    pub(crate) fn simple(&self) -> Client {
        let mut client = self.connect();
        client.go("data");
        client
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

pub(crate) fn context_request(export: &str, queries: &[&str]) -> Vec<u8> {
    let mut bytes = string(export);
    bytes.extend(u32::try_from(queries.len()).unwrap().to_be_bytes());
    for query in queries {
        bytes.extend(string(query));
    }
    bytes
}

/// What came back for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Done,
    Bytes(Vec<u8>),
    Status(Vec<(u32, u32)>),
    Failed(u32),
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) size: u64,
    pub(crate) flags: u16,
    pub(crate) is_structured: bool,
    /// Chunks of the last read that were holes.
    pub(crate) holes: usize,
    context: u32,
    cookie: u64,
}

impl Client {
    /// Connects and greets.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self {
            stream,
            size: 0,
            flags: 0,
            is_structured: false,
            holes: 0,
            context: 0,
            cookie: 0x1234_5678_0000_0000,
        };
        let greeting: [u8; 18] = client.take();
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\x00\x03");
        client.send(&3_u32.to_be_bytes());
        client
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn take_long(&mut self, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    pub(crate) fn option(&mut self, option: u32, data: &[u8]) {
        let mut bytes = b"IHAVEOPT".to_vec();
        bytes.extend(option.to_be_bytes());
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
        self.send(&bytes);
    }

    pub(crate) fn option_reply(&mut self, option: u32) -> (u32, Vec<u8>) {
        let magic: [u8; 8] = self.take();
        assert_eq!(u64::from_be_bytes(magic), 0x0003_e889_0455_65a9);
        assert_eq!(self.u32(), option);
        let reply = self.u32();
        let length = self.u32();
        (reply, self.take_long(length))
    }

    /// Chooses an export; all kinds of information that were told.
    pub(crate) fn go(&mut self, export: &str) -> Vec<u16> {
        let mut data = string(export);
        data.extend([0, 2, 0, 1, 0, 2]);
        self.option(GO, &data);
        let mut kinds = Vec::new();
        loop {
            let (reply, payload) = self.option_reply(GO);
            if reply == ACK {
                return kinds;
            }
            assert_eq!(reply, 3, "{}", String::from_utf8_lossy(&payload));
            let kind = u16::from_be_bytes(payload[..2].try_into().unwrap());
            if kind == 0 {
                self.size = u64::from_be_bytes(payload[2..10].try_into().unwrap());
                self.flags = u16::from_be_bytes(payload[10..12].try_into().unwrap());
            }
            kinds.push(kind);
        }
    }

    /// Sends a request without waiting; its cookie.
    pub(crate) fn ask(
        &mut self,
        command: u16,
        flags: u16,
        offset: u64,
        length: u32,
        payload: &[u8],
    ) -> u64 {
        self.cookie += 1;
        let mut bytes = 0x2560_9513_u32.to_be_bytes().to_vec();
        bytes.extend(flags.to_be_bytes());
        bytes.extend(command.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(offset.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(payload);
        self.send(&bytes);
        self.cookie
    }

    /// The next reply: its cookie and what it says. `read` is the range of the request if it was a
    /// read.
    pub(crate) fn answer(&mut self, read: Option<(u64, u32)>) -> (u64, Answer) {
        let magic = self.u32();
        if magic == 0x6744_6698 {
            let error = self.u32();
            let cookie = u64::from_be_bytes(self.take());
            let answer = match (error, read) {
                (0, Some(_)) if self.is_structured => panic!("a simple reply to a read"),
                (0, Some((_, length))) => Answer::Bytes(self.take_long(length)),
                (0, None) => Answer::Done,
                (error, _) => Answer::Failed(error),
            };
            return (cookie, answer);
        }
        assert_eq!(magic, 0x668e_33ef);
        assert!(self.is_structured, "chunks were not agreed on");
        self.chunked_answer(read)
    }

    fn chunked_answer(&mut self, read: Option<(u64, u32)>) -> (u64, Answer) {
        let (start, length) = read.unwrap_or_default();
        let mut bytes = vec![0xEE; usize::try_from(length).unwrap()];
        let mut covered = 0;
        let mut answer = None;
        self.holes = 0;
        loop {
            let flags = u16::from_be_bytes(self.take());
            let kind = u16::from_be_bytes(self.take());
            let cookie = u64::from_be_bytes(self.take());
            let chunk_length = self.u32();
            let payload = self.take_long(chunk_length);
            match kind {
                0 => assert_eq!((chunk_length, flags), (0, 1)),
                1 | 2 => {
                    let at = u64::from_be_bytes(payload[..8].try_into().unwrap()) - start;
                    let at = usize::try_from(at).unwrap();
                    let data = if kind == 1 {
                        payload[8..].to_vec()
                    } else {
                        let hole = u32::from_be_bytes(payload[8..12].try_into().unwrap());
                        vec![0; usize::try_from(hole).unwrap()]
                    };
                    assert!(!data.is_empty());
                    bytes[at..at + data.len()].copy_from_slice(&data);
                    covered += data.len();
                    self.holes += usize::from(kind == 2);
                }
                5 => {
                    let id = u32::from_be_bytes(payload[..4].try_into().unwrap());
                    assert_eq!(id, self.context);
                    let runs = payload[4..].chunks_exact(8).map(|run| {
                        let number = |at| u32::from_be_bytes(run[at..at + 4].try_into().unwrap());
                        (number(0), number(4))
                    });
                    answer = Some(Answer::Status(runs.collect()));
                }
                0x8001 => {
                    let message = u16::from_be_bytes(payload[4..6].try_into().unwrap());
                    assert_eq!(usize::from(message), payload.len() - 6);
                    assert!(String::from_utf8(payload[6..].to_vec()).is_ok());
                    let error = u32::from_be_bytes(payload[..4].try_into().unwrap());
                    answer = Some(Answer::Failed(error));
                }
                other => panic!("chunk of kind {other}"),
            }
            if flags & 1 != 0 {
                let answer = answer.unwrap_or_else(|| {
                    assert_eq!(covered, bytes.len(), "not all was sent");
                    Answer::Bytes(bytes)
                });
                return (cookie, answer);
            }
            assert_eq!(u32::from_be_bytes(self.take()), 0x668e_33ef);
        }
    }

    fn call(
        &mut self,
        (command, flags): (u16, u16),
        offset: u64,
        length: u32,
        payload: &[u8],
    ) -> Answer {
        let cookie = self.ask(command, flags, offset, length, payload);
        let (answered, answer) = self.answer((command == READ).then_some((offset, length)));
        assert_eq!(answered, cookie);
        answer
    }

    pub(crate) fn request(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> Answer {
        self.call((command, flags), offset, length, &[])
    }

    pub(crate) fn read(&mut self, offset: u64, length: u32) -> Answer {
        self.request(READ, 0, offset, length)
    }

    pub(crate) fn write(&mut self, flags: u16, offset: u64, payload: &[u8]) -> Answer {
        let length = u32::try_from(payload.len()).unwrap();
        self.call((WRITE, flags), offset, length, payload)
    }

    /// Leaves by the rules, and waits until the server has noticed.
    pub(crate) fn leave(mut self) {
        self.cookie += 1;
        self.ask(2, 0, 0, 0, &[]);
        assert!(self.is_cut_off());
    }

    /// Whether the server ends the connection.
    pub(crate) fn is_cut_off(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }
}
