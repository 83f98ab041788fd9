//! What the host and the agent in a guest say to each other: messages in frames, over a channel of
//! bytes that has no connections of its own.
//!
//! ```text
//!   Request ──encode──> Frame ──encode──> bytes │ channel │ bytes ──Decoder──> Frame ──decode──> Request
//!   Answer  <──decode── Frame <──Decoder── bytes │         │ bytes <──encode── Frame <──encode── Answer
//! ```
//!
//! A channel such as a port of virtio-serial outlives those who talk over it: what an earlier client
//! wrote or was answered may still be in it, cut off anywhere. So a frame begins with a byte that
//! stands nowhere else (`frame.rs`), and each carries the token of the conversation it belongs to; a
//! client opens a conversation with a `hello` under a token of its own and leaves unread what has
//! another. Both sides take nothing from each other that is not bounded here.

#![forbid(unsafe_code)]

mod bytes;
mod frame;
mod limits;
mod message;
mod replay;
mod secret;
mod session;

pub use bytes::Bytes;
pub use frame::{Decoded, Decoder, Frame, FrameError, MAX_BODY, RequestId, encode};
pub use limits::{
    Limit, MAX_ARGUMENTS, MAX_CHUNK, MAX_MOUNTS_IN_ANSWER, MAX_NAME, MAX_TARGET, MAX_TEXT, cut,
    printable,
};
pub use message::{
    Answer, ErrorKind, FileSystem, GuestKind, Hello, MessageError, MountDisk, MountMemory,
    MountShare, MountSmb, Mounted, MountedThing, Mounts, Refusal, Request, Run, ShareTransport,
    Stream, Unmount, UnplugDisk, Usage, Welcome, decode_answer, decode_request, encode_answer,
    encode_request,
};
pub use replay::fuzz_channel;
pub use secret::Secret;
pub use session::{HIGHEST_VERSION, LOWEST_VERSION, Token, Versions};

/// The port at which an agent in a machine of Hyper-V hears its host, over sockets of the hypervisor:
/// `cvol` in letters.
pub const HYPERVISOR_PORT: u32 = 0x6376_6F6C;

/// The service that a port is to Windows, a GUID in digits: by the template that Linux has for ports of vsock,
/// whose first 32 bits are the port.
pub fn hypervisor_service(port: u32) -> u128 {
    const TEMPLATE: u128 = 0x0000_0000_facb_11e6_bd58_6400_6a79_86d3;
    (u128::from(port) << 96) | TEMPLATE
}
