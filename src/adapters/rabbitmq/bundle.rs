//! Several requests, or several replies, in one message of the broker.
//!
//! Each message costs the broker, its client and the network about as much whether it holds one small
//! request or fifty. Invariant: whatever is bundled could have been sent apart. A worker unbundles
//! what comes back to it, so that each request is counted, and set aside, by itself.

use amqprs::BasicProperties;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::message::{decode, encode};

/// What the property `type` of a message with several parts says. Without it the message is one
/// request, or one reply, as it stands.
const KIND: &str = "bundle";

/// Parts of one message. Few enough that several slaves share what waits.
pub(super) const MOST_PARTS: usize = 64;

/// Bytes of the parts of one message, about. What is larger has nothing to gain.
pub(super) const MOST_BYTES: usize = 128 * 1024;

/// What a part takes beside its body, in bytes, at the most.
const AROUND_A_PART: usize = 32;

/// Bytes of a message with several parts, at the most.
const LARGEST: usize = MOST_BYTES + MOST_PARTS * AROUND_A_PART;

/// One request or reply in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// The sender's number for it.
    pub(super) correlation: u64,
    /// For how long it is waited for, in milliseconds, from when it was sent; 0 for a reply.
    pub(super) expires_in_ms: u32,
    /// As it would stand in a message of its own.
    pub(super) body: Bytes,
}

/// Whether the parts may grow by one of so many bytes.
pub(super) const fn has_room(parts: usize, bytes: usize, more: usize) -> bool {
    parts == 0 || (parts < MOST_PARTS && bytes + more <= MOST_BYTES)
}

/// The body of a message with these parts; `properties` are to be marked with [`mark`].
pub(super) fn pack(parts: &[Part]) -> Vec<u8> {
    encode(&parts)
}

/// Marks a message as a bundle.
pub(super) fn mark(properties: &mut BasicProperties) {
    properties.with_message_type(KIND);
}

/// Whether a message is a bundle.
pub(super) fn is_bundle(properties: &BasicProperties) -> bool {
    properties.message_type().is_some_and(|kind| kind == KIND)
}

/// The parts of a bundle, at least one.
///
/// # Errors
/// Says why [`pack`] did not make these bytes. Looked at before they are read, as a stranger could
/// put millions of parts into one message.
pub(super) fn unpack(body: &[u8]) -> Result<Vec<Part>, String> {
    if body.len() > LARGEST {
        return Err(format!("{} bytes are more than a bundle takes", body.len()));
    }
    let parts: Vec<Part> = decode(body).map_err(|error| error.to_string())?;
    match parts.len() {
        0 => Err("a bundle of nothing".to_owned()),
        1..=MOST_PARTS => Ok(parts),
        number => Err(format!("a bundle of {number} is larger than any")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = Part> {
        (any::<u64>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
            |(correlation, expires_in_ms, body)| Part {
                correlation,
                expires_in_ms,
                body: body.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn parts_come_out_as_they_went_in(parts in proptest::collection::vec(part(), 1..20)) {
            prop_assert_eq!(unpack(&pack(&parts)).unwrap(), parts);
        }

        #[test]
        fn foreign_bytes_are_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(!bytes.starts_with(b"RS"));
            prop_assert!(unpack(&bytes).is_err());
        }
    }

    #[test]
    fn bundle_takes_any_first_part_and_then_what_fits() {
        for (parts, bytes, more, expected) in [
            (0, 0, MOST_BYTES * 10, true),
            (1, 0, MOST_BYTES, true),
            (1, 1, MOST_BYTES, false),
            (MOST_PARTS - 1, 0, 1, true),
            (MOST_PARTS, 0, 1, false),
        ] {
            assert_eq!(has_room(parts, bytes, more), expected, "{parts} {bytes} {more}");
        }
    }

    #[test]
    fn largest_bundle_is_read_and_what_is_larger_is_refused_unread() {
        let part = |bytes| Part {
            correlation: u64::MAX,
            expires_in_ms: u32::MAX,
            body: vec![0xff; bytes].into(),
        };
        let largest = vec![part(MOST_BYTES / MOST_PARTS); MOST_PARTS];
        assert_eq!(unpack(&pack(&largest)).unwrap(), largest);
        for (parts, why) in [
            (vec![part(0); MOST_PARTS + 1], "larger than any"),
            (vec![part(0); 100_000], "more than a bundle takes"),
            (vec![], "nothing"),
        ] {
            let refused = unpack(&pack(&parts)).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn bodies_are_packed_as_bytes_and_not_as_numbers() {
        let part = Part { correlation: 1, expires_in_ms: 1, body: vec![0xff; 1_000].into() };
        assert!(pack(&[part]).len() < 1_030);
    }
}
