//! What stands on the wire: numbers and fixed structures, big endian, and nothing that acts.
//!
//! Source: the NBD protocol (`doc/proto.md` of the reference implementation), named [NBD] here, with
//! the heading in that document.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// "NBDMAGIC", the first word of a server. [NBD] Newstyle negotiation.
pub(crate) const INITIAL_MAGIC: u64 = 0x4E42_444D_4147_4943;
/// "IHAVEOPT", before each option and in the greeting. [NBD] Newstyle negotiation.
pub(crate) const OPTION_MAGIC: u64 = 0x4948_4156_454F_5054;
/// Before each reply to an option. [NBD] Fixed newstyle negotiation.
pub(crate) const OPTION_REPLY_MAGIC: u64 = 0x0003_E889_0455_65A9;
/// Before each request. [NBD] Request message.
pub(crate) const REQUEST_MAGIC: u32 = 0x2560_9513;
/// Before each simple reply. [NBD] Simple reply message.
pub(crate) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// Before each chunk of a structured reply. [NBD] Structured reply chunk message.
pub(crate) const STRUCTURED_REPLY_MAGIC: u32 = 0x668E_33EF;

/// Flags of the handshake, of both sides. [NBD] Handshake flags, Client flags.
pub(crate) mod handshake_flag {
    /// Fixed newstyle negotiation.
    pub(crate) const FIXED_NEWSTYLE: u16 = 1;
    /// No 124 zeros after the answer to `EXPORT_NAME`.
    pub(crate) const NO_ZEROES: u16 = 2;
}

/// Options of a client. [NBD] Option types.
pub(crate) mod option {
    pub(crate) const EXPORT_NAME: u32 = 1;
    pub(crate) const ABORT: u32 = 2;
    pub(crate) const LIST: u32 = 3;
    pub(crate) const INFO: u32 = 6;
    pub(crate) const GO: u32 = 7;
    pub(crate) const STRUCTURED_REPLY: u32 = 8;
    pub(crate) const LIST_META_CONTEXT: u32 = 9;
    pub(crate) const SET_META_CONTEXT: u32 = 10;
}

/// Replies to options. [NBD] Option reply types.
pub(crate) mod option_reply {
    pub(crate) const ACK: u32 = 1;
    pub(crate) const SERVER: u32 = 2;
    pub(crate) const INFO: u32 = 3;
    pub(crate) const META_CONTEXT: u32 = 4;
    pub(crate) const ERR_UNSUP: u32 = 0x8000_0001;
    pub(crate) const ERR_INVALID: u32 = 0x8000_0003;
    pub(crate) const ERR_UNKNOWN: u32 = 0x8000_0006;
    pub(crate) const ERR_TOO_BIG: u32 = 0x8000_0009;
}

/// Kinds of information about an export. [NBD] `NBD_REP_INFO`.
pub(crate) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const DESCRIPTION: u16 = 2;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

/// What an export can do. [NBD] Transmission flags.
pub(crate) mod transmission_flag {
    pub(crate) const HAS_FLAGS: u16 = 1;
    pub(crate) const READ_ONLY: u16 = 1 << 1;
    pub(crate) const SEND_FLUSH: u16 = 1 << 2;
    pub(crate) const SEND_FUA: u16 = 1 << 3;
    pub(crate) const SEND_TRIM: u16 = 1 << 5;
    pub(crate) const SEND_WRITE_ZEROES: u16 = 1 << 6;
    pub(crate) const SEND_DF: u16 = 1 << 7;
    pub(crate) const CAN_MULTI_CONN: u16 = 1 << 8;
}

/// Requests. [NBD] Request types.
pub(crate) mod command {
    pub(crate) const READ: u16 = 0;
    pub(crate) const WRITE: u16 = 1;
    pub(crate) const DISCONNECT: u16 = 2;
    pub(crate) const FLUSH: u16 = 3;
    pub(crate) const TRIM: u16 = 4;
    pub(crate) const WRITE_ZEROES: u16 = 6;
    pub(crate) const BLOCK_STATUS: u16 = 7;
}

/// Flags of requests. [NBD] Command flags.
pub(crate) mod command_flag {
    /// The reply waits until the change is durable.
    pub(crate) const FUA: u16 = 1;
    /// Zeros that occupy space.
    pub(crate) const NO_HOLE: u16 = 1 << 1;
    /// One chunk of content.
    pub(crate) const DF: u16 = 1 << 2;
    /// One descriptor.
    pub(crate) const REQ_ONE: u16 = 1 << 3;
}

/// The last chunk of a structured reply. [NBD] Structured reply flags.
pub(crate) const REPLY_FLAG_DONE: u16 = 1;

/// Chunks of structured replies. [NBD] Structured reply types.
pub(crate) mod chunk {
    pub(crate) const OFFSET_DATA: u16 = 1;
    pub(crate) const OFFSET_HOLE: u16 = 2;
    pub(crate) const BLOCK_STATUS: u16 = 5;
    pub(crate) const ERROR: u16 = 0x8001;
}

/// States of `base:allocation`. [NBD] `base:allocation` metadata context.
pub(crate) mod state {
    pub(crate) const HOLE: u32 = 1;
    pub(crate) const ZERO: u32 = 2;
}

/// Errors. [NBD] Error values.
pub(crate) mod error_number {
    pub(crate) const EPERM: u32 = 1;
    pub(crate) const EIO: u32 = 5;
    pub(crate) const EINVAL: u32 = 22;
    pub(crate) const ENOSPC: u32 = 28;
    pub(crate) const EOVERFLOW: u32 = 75;
}

/// Zeros after the answer to `EXPORT_NAME`. [NBD] `NBD_OPT_EXPORT_NAME`.
pub(crate) const EXPORT_NAME_PADDING: usize = 124;
/// The longest name of an export or query, in bytes. [NBD] Conventions of strings.
pub(crate) const MAX_STRING_LENGTH: usize = 4096;

/// What the server says first.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Greeting {
    pub(crate) initial_magic: U64,
    pub(crate) option_magic: U64,
    pub(crate) flags: U16,
}

/// The head of an option; `length` bytes of data follow.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct OptionHeader {
    pub(crate) magic: U64,
    pub(crate) option: U32,
    pub(crate) length: U32,
}

/// The head of a reply to an option; `length` bytes of data follow.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct OptionReplyHeader {
    pub(crate) magic: U64,
    pub(crate) option: U32,
    pub(crate) reply: U32,
    pub(crate) length: U32,
}

/// A request; `length` bytes follow a write.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RequestHeader {
    pub(crate) magic: U32,
    pub(crate) flags: U16,
    pub(crate) command: U16,
    pub(crate) cookie: U64,
    /// First byte.
    pub(crate) offset: U64,
    /// Bytes.
    pub(crate) length: U32,
}

/// A simple reply; the bytes of a read follow where the error is 0.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct SimpleReply {
    pub(crate) magic: U32,
    pub(crate) error: U32,
    pub(crate) cookie: U64,
}

/// The head of a chunk of a structured reply; `length` bytes follow.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ChunkHeader {
    pub(crate) magic: U32,
    pub(crate) flags: U16,
    pub(crate) kind: U16,
    pub(crate) cookie: U64,
    pub(crate) length: U32,
}

/// What a chunk `OFFSET_HOLE` holds.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct HolePayload {
    /// First byte on the disk.
    pub(crate) offset: U64,
    /// Bytes.
    pub(crate) length: U32,
}

/// A run in a chunk `BLOCK_STATUS`.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct StatusDescriptor {
    /// Bytes.
    pub(crate) length: U32,
    pub(crate) state: U32,
}

/// What a chunk `ERROR` begins with; the message follows.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct ErrorPayload {
    pub(crate) error: U32,
    pub(crate) message_length: U16,
}

const _: () = assert!(size_of::<Greeting>() == 18);
const _: () = assert!(size_of::<OptionHeader>() == 16);
const _: () = assert!(size_of::<OptionReplyHeader>() == 20);
const _: () = assert!(size_of::<RequestHeader>() == 28);
const _: () = assert!(size_of::<SimpleReply>() == 16);
const _: () = assert!(size_of::<ChunkHeader>() == 20);
const _: () = assert!(size_of::<HolePayload>() == 12);
const _: () = assert!(size_of::<StatusDescriptor>() == 8);
const _: () = assert!(size_of::<ErrorPayload>() == 6);
