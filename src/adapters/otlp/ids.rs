//! The names of a trace, made from a request's.

use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest, Sha256};

use crate::domain::ids::RequestId;

/// What a request is called in traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) trace: TraceId,
    /// Of the stage that all others lie in.
    pub(super) whole: SpanId,
    /// Spread evenly over all requests.
    lot: u64,
}

impl Ids {
    pub(super) fn of(request: &RequestId) -> Self {
        let digest = Sha256::digest(request.as_str());
        let (trace, rest) = digest.split_first_chunk::<16>().expect("32 bytes");
        let (whole, lot) = rest.split_first_chunk::<8>().expect("16 bytes");
        Self {
            trace: TraceId::from_bytes(*trace),
            whole: SpanId::from_bytes(*whole),
            lot: u64::from_be_bytes(*lot.first_chunk().expect("8 bytes")),
        }
    }

    /// Whether it is among so many of all requests, from 0 to 1.
    pub(super) fn is_within(&self, ratio: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a lottery")]
        let share = self.lot as f64 / u64::MAX as f64;
        share < ratio || ratio >= 1.0
    }
}

/// The name of any other stage.
pub(super) fn random() -> SpanId {
    SpanId::from_bytes(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_has_the_same_names_everywhere_and_no_two_have() {
        let of = |text: &str| Ids::of(&RequestId::new(text));
        assert_eq!(of("key:a"), of("key:a"));
        assert_ne!(of("key:a").trace, of("key:b").trace);
        assert_ne!(of("key:a").whole, of("key:b").whole);
    }

    #[test]
    fn so_many_requests_are_followed_as_was_said() {
        let followed = |ratio: f64| {
            let all = (0..10_000).map(|number| Ids::of(&RequestId::new(format!("{number}"))));
            all.filter(|ids| ids.is_within(ratio)).count()
        };
        assert_eq!((followed(0.0), followed(1.0)), (0, 10_000));
        assert!((900..1_100).contains(&followed(0.1)), "{}", followed(0.1));
    }
}
