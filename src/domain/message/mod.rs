//! What travels between an orchestrator and a worker, and its encoding as bytes.
//!
//! Does not know how messages travel: queues, correlation and expiry belong to the `Requests` port.

#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::document::{CollectionName, Document, Value};
use super::ids::{DatabaseAddress, Epoch, NodeId, Offset, Pid};
use super::outcome::Outcome;
use super::request::{InvalidRequest, ReadOperation, WriteRequest};

/// From an orchestrator to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// For the master.
    Write(WriteRequest),
    /// For any slave, or for the master when it is to be strong.
    Read(ReadOperation),
    /// For one worker: are you there?
    Ping,
    /// For any slave: which collections are there?
    Catalog {
        /// As of this offset, or later.
        at_least: Offset,
    },
}

impl Request {
    /// Whether an orchestrator could have sent this. To be asked of whatever comes from a queue.
    ///
    /// # Errors
    /// Names the place and what is wrong there.
    pub fn check(&self) -> Result<(), InvalidRequest> {
        match self {
            Self::Write(write) => write.check(),
            Self::Read(read) => read.check(),
            Self::Ping | Self::Catalog { .. } => Ok(()),
        }
    }
}

/// From a worker to an orchestrator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// A write has an outcome, and the record with it stands at this offset.
    Written {
        /// Where the outcome stands in the log.
        offset: Offset,
        /// What it is.
        outcome: Outcome,
    },
    /// A read was carried out on a state that holds everything up to this offset.
    Read {
        /// The state that was read.
        offset: Offset,
        /// What was read.
        result: ReadResult,
    },
    /// A read that cannot be carried out as it is, wherever it goes.
    ReadRefused {
        /// Why.
        detail: String,
    },
    /// A read that could not be carried out in its time; it may be asked again.
    TimedOut,
    /// The worker is there.
    Pong,
    /// The collections of a state that holds everything up to this offset.
    Catalog {
        /// The state that was looked at.
        offset: Offset,
        /// What is in it, ascending by name.
        collections: Vec<Collection>,
    },
}

/// A collection that holds documents, or has an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its name.
    pub name: CollectionName,
    /// The indexed fields, ascending; dotted paths.
    pub indexes: Vec<String>,
}

/// What a read gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ReadResult {
    /// Documents in the order asked for.
    Documents(Vec<Document>),
    /// A number of documents.
    Count(u64),
    /// Different values, ascending.
    Values(Vec<Value>),
}

/// What a worker does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Copying or catching up; answers nobody.
    Joining,
    /// Applies the log and answers reads.
    Slave,
    /// On its way into office.
    Promoting,
    /// Sequences the writes.
    Master,
    /// Finishing what it holds before it stops.
    Draining,
}

impl Role {
    /// The role's name as it stands in answers and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Slave => "slave",
            Self::Promoting => "promoting",
            Self::Master => "master",
            Self::Draining => "draining",
        }
    }
}

/// A worker's sign of life: sent to everyone soon after it moved, and at least twice a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Who.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// The newest epoch it has admitted.
    pub epoch: Epoch,
    /// How far it has applied the log; nothing before the first record.
    pub applied: Option<Offset>,
    /// Its database does not answer: it can neither write nor read at the moment.
    #[serde(default)]
    pub stalled: bool,
}

/// What a worker tells of itself in the coordination service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// Its process id where no container runtime knows a better one.
    pub pid: Pid,
    /// A container runtime started it: where that runtime does not know it any more, it is gone,
    /// whatever its session says.
    pub managed: bool,
    /// Where a joining worker can copy its data from.
    pub database: DatabaseAddress,
    /// The newest epoch it had admitted when it told.
    pub epoch: Epoch,
    /// How far it had applied the log when it told.
    pub applied: Option<Offset>,
}

/// Bytes that are not what they should be: from another version, or from a stranger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("undecodable message: {reason}")]
pub struct Undecodable {
    reason: String,
    /// Written by a later version of this program: not noise, but not ours to skip either.
    pub newer: bool,
}

/// What everything encoded starts with: our mark and the version of the encoding.
const HEADER: [u8; 3] = [b'R', b'S', 1];

/// Encodes a message or a record: a header of three bytes, then MessagePack without field names.
///
/// # Panics
/// Never: the messages hold nothing that MessagePack cannot express.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    rmp_serde::encode::write(&mut bytes, message)
        .expect("writing plain data to memory cannot fail");
    bytes
}

/// How many levels of arrays and maps a message may have: the deepest document or filter, and room
/// for the record around it. Hostile bytes must not overflow the stack.
const MAX_LEVELS: usize = 128;

/// Decodes what [`encode`] made.
///
/// # Errors
/// Whatever else the bytes are, they are named undecodable; nothing panics and nothing larger
/// than the bytes themselves is allocated up front.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    match bytes.split_first_chunk() {
        Some((&HEADER, body)) => decode_body(body)
            .map_err(|reason| Undecodable { reason: shortened(reason), newer: false }),
        Some(([b'R', b'S', version], _)) => Err(Undecodable {
            reason: format!("encoding version {version}, this build reads {}", HEADER[2]),
            newer: *version > HEADER[2],
        }),
        _ => Err(Undecodable { reason: "not a message of this system".to_owned(), newer: false }),
    }
}

/// The longest reason, in bytes. Decoders quote what they found, which may be the whole message.
const MAX_REASON_BYTES: usize = 256;

fn shortened(mut reason: String) -> String {
    if reason.len() > MAX_REASON_BYTES {
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        reason.push('…');
    }
    reason
}

fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut deserializer = rmp_serde::Deserializer::new(body);
    deserializer.set_max_depth(MAX_LEVELS);
    let message = T::deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    match deserializer.get_ref().len() {
        0 => Ok(message),
        rest => Err(format!("{rest} bytes follow the message")),
    }
}
