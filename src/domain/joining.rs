//! Decides how a database comes to follow the log, and whether the two belong together.
//!
//! A log may lose its data: a broker's disk is gone, or an old copy of it was put back. Nobody goes on
//! with such a log by itself, since what it lacks would be lost with it: whoever has more than the
//! log stops, and so does whoever sees that an epoch is missing that had begun. While one of them is
//! there nobody is elected (see `supervision`). Going on takes somebody who says from which worker's
//! data.

use super::ids::{Epoch, LogId, NodeId, Offset};
use super::log::History;

/// The history that is led, as those who lead tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// Which one.
    pub log_id: LogId,
    /// Whose data it began with, where the log before it was lost.
    pub base: Option<NodeId>,
    /// The newest epoch that is known to have begun in the log.
    pub admitted: Epoch,
}

impl Led {
    /// Whether it has begun: then what it began with is no longer anybody's to say.
    fn has_begun(&self) -> bool {
        self.admitted > Epoch(0)
    }

    /// Whose data it went on with, where these were not the ones that a database was made from.
    #[must_use]
    pub fn base_instead_of(&self, stored: &History) -> Option<&NodeId> {
        let is_another = stored.log_id.as_ref().is_some_and(|id| *id != self.log_id);
        self.base.as_ref().filter(|_| is_another)
    }
}

/// How a replica is brought to the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It reads on from where it ends.
    Read,
    /// It needs a copy of another one first.
    Copy,
    /// What it holds is where the history begins anew.
    BeginAnew,
}

/// Why a database and a log do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The database is ahead of the log.
    #[error(
        "the log ends at offset {next}, but this database holds everything up to {held}: the log \
         has lost its data or is another one"
    )]
    Shorter {
        /// The end of the log.
        next: Offset,
        /// The end of what the database holds.
        held: Offset,
    },
    /// The log does not hold an epoch that had begun in it.
    #[error("the log ends without epoch {admitted}, which had begun in it: it has lost its data")]
    Cut {
        /// The missing epoch.
        admitted: Epoch,
    },
    /// The database was made from another state of the log.
    #[error(
        "the log at offset {offset} is not what this database was made from: while the log was lost, \
         something else stood there"
    )]
    Another {
        /// Where that shows.
        offset: Offset,
    },
    /// The log was another one when this database was made from it, which holds all that had begun.
    #[error(
        "the log at offset {offset} is not what this database was made from, which holds every epoch that \
         had begun: the log has lost its data, and something else stands there"
    )]
    Changed {
        /// Where that shows.
        offset: Offset,
    },
    /// Somebody said whose data to go on with, and that worker has not begun; it may never do.
    #[error(
        "the log was lost, and is to begin anew with the data of {base}, which it has not done yet; this \
         database holds others"
    )]
    NotBegun {
        /// Whose data are to be gone on with.
        base: NodeId,
    },
    /// Somebody said to go on with what this worker holds, which is nothing.
    #[error("the log was lost, and is to begin anew with this database, which holds nothing")]
    Empty,
    /// The system goes on from another worker's data.
    #[error("the system has gone on from the data of {base}, without what this database holds")]
    LeftBehind {
        /// Whose data these are.
        base: NodeId,
    },
}

/// How the database of `own`, which holds `stored`, comes to follow a log that reaches from `first`
/// to before `next`.
///
/// # Errors
/// It must not.
pub fn way(
    own: &NodeId,
    stored: &History,
    led: Option<&Led>,
    (first, next): (Offset, Offset),
) -> Result<Way, Misfit> {
    let has_begun = led.is_some_and(Led::has_begun);
    if let Some(base) = led.and_then(|led| led.base_instead_of(stored)) {
        return match (has_begun, base == own) {
            (true, _) => Err(Misfit::LeftBehind { base: base.clone() }),
            (false, true) => Ok(Way::BeginAnew),
            (false, false) => Err(Misfit::NotBegun { base: base.clone() }),
        };
    }
    let held = stored.next_offset();
    if held > next {
        return Err(Misfit::Shorter { next, held });
    }
    let is_new = stored.log_id.is_none();
    let base = led.and_then(|led| led.base.as_ref()).filter(|_| is_new);
    if base == Some(own) && !has_begun {
        return Err(Misfit::Empty);
    }
    let lacks_base = base.is_some();
    Ok(if held < first || lacks_base { Way::Copy } else { Way::Read })
}

/// Makes sure that whoever has read the whole log has met every epoch that is known to be in it.
///
/// # Errors
/// The log has lost its data.
pub fn check_whole(reached: &History, admitted: Epoch) -> Result<(), Misfit> {
    // Before the first.
    if admitted == Epoch(0) || reached.has_begun(admitted) {
        return Ok(());
    }
    Err(Misfit::Cut { admitted })
}

/// Why a database that holds this does not belong to a log that has another record at `offset`: one of the
/// two is of a time when the log was lost. The newest epoch that is known to have begun tells which.
#[must_use]
pub fn differing(held: &History, admitted: Epoch, offset: Offset) -> Misfit {
    if admitted > Epoch(0) && held.has_begun(admitted) {
        Misfit::Changed { offset }
    } else {
        Misfit::Another { offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Sequence;
    use crate::domain::log::Term;

    fn led(log_id: &str, base: Option<&str>) -> Led {
        Led { log_id: LogId::new(log_id), base: base.map(NodeId::new), admitted: Epoch(3) }
    }

    /// Somebody has said whose data to go on with, and nothing has come of it yet.
    fn to_begin(log_id: &str, base: &str) -> Led {
        Led { admitted: Epoch(0), ..led(log_id, Some(base)) }
    }

    /// A database that holds everything before `next` of a history.
    fn held(log_id: &str, next: u64) -> History {
        History::on_own_data(LogId::new(log_id), Offset(next))
    }

    #[test]
    fn database_follows_the_log_that_it_was_made_from() {
        let own = NodeId::new("n1");
        let bounds = |first, next| (Offset(first), Offset(next));
        let lost = Misfit::Shorter { next: Offset(0), held: Offset(5) };
        let cut = Misfit::Shorter { next: Offset(4), held: Offset(5) };
        let not_begun = |base| Misfit::NotBegun { base: NodeId::new(base) };
        let left = |base| Misfit::LeftBehind { base: NodeId::new(base) };
        let (new, old) = (History::default(), held("old", 5));
        for (stored, led, bounds, expected) in [
            (&new, None, bounds(0, 0), Ok(Way::Read)),
            (&new, Some(led("old", None)), bounds(0, 9), Ok(Way::Read)),
            (&new, Some(led("old", None)), bounds(1, 9), Ok(Way::Copy)),
            (&old, Some(led("old", None)), bounds(0, 9), Ok(Way::Read)),
            (&old, Some(led("old", None)), bounds(5, 5), Ok(Way::Read)),
            (&old, Some(led("old", None)), bounds(6, 9), Ok(Way::Copy)),
            (&old, Some(led("old", None)), bounds(0, 0), Err(lost)),
            (&old, None, bounds(0, 4), Err(cut)),
            // A coordination service that lost its memory; the log says whose it is.
            (&old, Some(led("another", None)), bounds(0, 9), Ok(Way::Read)),
            // Somebody said whose data to go on with.
            (&old, Some(to_begin("new", "n1")), bounds(0, 0), Ok(Way::BeginAnew)),
            (&old, Some(to_begin("new", "n1")), bounds(0, 9), Ok(Way::BeginAnew)),
            // It may never do so: then somebody may still choose this one.
            (&old, Some(to_begin("new", "n2")), bounds(0, 9), Err(not_begun("n2"))),
            (&new, Some(to_begin("new", "n1")), bounds(0, 0), Err(Misfit::Empty)),
            (&new, Some(to_begin("new", "n2")), bounds(0, 0), Ok(Way::Copy)),
            (&old, Some(led("new", Some("n2"))), bounds(0, 9), Err(left("n2"))),
            // Its database was set back to before that; the log has gone on from what it held then.
            (&old, Some(led("new", Some("n1"))), bounds(0, 9), Err(left("n1"))),
            (&new, Some(led("new", Some("n2"))), bounds(0, 9), Ok(Way::Copy)),
            (&new, Some(led("new", Some("n1"))), bounds(0, 9), Ok(Way::Copy)),
            (&held("new", 5), Some(led("new", Some("n2"))), bounds(0, 9), Ok(Way::Read)),
            (&held("new", 5), Some(led("new", Some("n1"))), bounds(0, 9), Ok(Way::Read)),
        ] {
            let found = way(&own, stored, led.as_ref(), bounds);
            assert_eq!(found, expected, "{stored:?} {led:?} {bounds:?}");
        }
    }

    #[test]
    fn where_both_differ_the_one_with_the_newest_epoch_is_right() {
        let offset = Offset(7);
        let mut stored = held("log", 9);
        assert_eq!(
            differing(&stored, Epoch(0), offset),
            Misfit::Another { offset },
            "nobody knows"
        );
        assert_eq!(differing(&stored, Epoch(3), offset), Misfit::Another { offset });
        stored.terms.push(Term { epoch: Epoch(3), begun: Offset(5), batches: Sequence(0) });
        assert_eq!(differing(&stored, Epoch(3), offset), Misfit::Changed { offset });
        assert_eq!(differing(&stored, Epoch(4), offset), Misfit::Another { offset });
    }

    #[test]
    fn log_that_lacks_an_epoch_has_lost_its_data() {
        let mut reached = held("log", 5);
        assert_eq!(check_whole(&reached, Epoch(0)), Ok(()));
        let admitted = Epoch(3);
        let cut = Err(Misfit::Cut { admitted });
        assert_eq!(check_whole(&History::default(), admitted), cut, "nothing is left of it");
        assert_eq!(check_whole(&reached, admitted), cut);
        let term = |epoch| Term { epoch, begun: Offset(5), batches: Sequence(0) };
        reached.terms.push(term(Epoch(4)));
        assert_eq!(check_whole(&reached, admitted), Err(Misfit::Cut { admitted }), "a later one");
        reached.terms.insert(0, term(admitted));
        assert_eq!(check_whole(&reached, admitted), Ok(()));
        reached.terms = (4..36).map(|epoch| term(Epoch(epoch))).collect();
        assert_eq!(check_whole(&reached, admitted), Ok(()), "it may be forgotten");
    }
}
