//! What a machine of the model is made of: nothing, or a machine of QEMU behind a broker, which is a
//! process on Linux that is asked over a connection on the loopback interface.
//!
//! A request and its answer are a line of JSON each, and a connection has one of them:
//!
//! ```text
//!   {"do":"add-disk","machine":"ID","controller":0,"lun":3,"path":"Z:\\v\\a.vhdx","read_only":false}
//!   {"code":0,"words":""}
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use attach::hcs::HResult;
use serde::{Deserialize, Serialize};

use crate::codes::{Refusal, refusal};

/// What is asked of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum BrokerRequest {
    /// Give the machine a disk.
    AddDisk {
        /// The identifier of the machine.
        machine: String,
        /// Which of its controllers, counted from 0.
        controller: u8,
        /// The logical unit.
        lun: u8,
        /// The image, in the notation of whoever asks.
        path: String,
        /// Whether it can only be read.
        read_only: bool,
    },
    /// Take a disk from the machine.
    RemoveDisk {
        /// The identifier of the machine.
        machine: String,
        /// Which of its controllers, counted from 0.
        controller: u8,
        /// The logical unit.
        lun: u8,
    },
    /// Take all from the machine: it ended.
    End {
        /// The identifier of the machine.
        machine: String,
    },
}

/// What a broker answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerAnswer {
    /// A code of the service, 0 where it was done.
    pub code: u32,
    /// What is said of it.
    pub words: String,
}

/// Where a machine is really changed.
pub trait Hardware: Send + Sync {
    /// Does what is asked.
    fn ask(&self, request: &BrokerRequest) -> BrokerAnswer;
}

/// Nothing is behind the model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoHardware;

impl Hardware for NoHardware {
    fn ask(&self, _request: &BrokerRequest) -> BrokerAnswer {
        BrokerAnswer {
            code: 0,
            words: String::new(),
        }
    }
}

/// A broker that listens there.
#[derive(Clone, Copy, Debug)]
pub struct Broker(pub SocketAddr);

/// A guest that is slow to let go of a disk is waited for.
const PATIENCE: Duration = Duration::from_secs(50);
const MAX_ANSWER: u64 = 1 << 20;

impl Broker {
    fn try_ask(self, request: &BrokerRequest) -> std::io::Result<BrokerAnswer> {
        let mut stream = TcpStream::connect_timeout(&self.0, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(stream.take(MAX_ANSWER)).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Hardware for Broker {
    fn ask(&self, request: &BrokerRequest) -> BrokerAnswer {
        self.try_ask(request).unwrap_or_else(|error| BrokerAnswer {
            code: 0x8000_FFFF,
            words: format!("the broker at {}: {error}", self.0),
        })
    }
}

/// Has it done, or is refused.
pub(crate) fn ask(hardware: &dyn Hardware, request: &BrokerRequest) -> Result<(), Refusal> {
    let answer = hardware.ask(request);
    if answer.code == 0 {
        Ok(())
    } else {
        Err(refusal(HResult(answer.code), answer.words))
    }
}
