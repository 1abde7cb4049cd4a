//! Which deliveries can be settled with one word to the broker.
//!
//! The broker settles "all up to this one" at once. That may be said only if everything below is
//! to be settled the same way.

use std::collections::BTreeSet;

/// How a set of deliveries is settled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settlement {
    /// All up to this one, if any.
    pub(super) all_up_to: Option<u64>,
    /// And these one by one.
    pub(super) single: Vec<u64>,
}

impl Settlement {
    /// The tags to say, each with whether it stands for all up to it.
    pub(super) fn words(&self) -> impl Iterator<Item = (u64, bool)> {
        let single = self.single.iter().map(|tag| (*tag, false));
        single.chain(self.all_up_to.map(|tag| (tag, true)))
    }
}

/// Splits `settled` given the lowest tag that is still open after it.
pub(super) fn settlement(settled: &BTreeSet<u64>, lowest_open: Option<u64>) -> Settlement {
    let bound = lowest_open.unwrap_or(u64::MAX);
    Settlement {
        all_up_to: settled.range(..bound).next_back().copied(),
        single: settled.range(bound..).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unbroken_beginning_is_settled_at_once() {
        type Row = (&'static [u64], Option<u64>, Option<u64>, &'static [u64]);
        let table: &[Row] = &[
            (&[], None, None, &[]),
            (&[1, 2, 3], None, Some(3), &[]),
            (&[1, 2, 3], Some(4), Some(3), &[]),
            (&[2, 3], Some(1), None, &[2, 3]),
            (&[1, 2, 5, 6], Some(3), Some(2), &[5, 6]),
        ];
        for (settled, lowest_open, all_up_to, single) in table {
            let settled = settled.iter().copied().collect();
            let expected = Settlement { all_up_to: *all_up_to, single: single.to_vec() };
            assert_eq!(settlement(&settled, *lowest_open), expected, "{settled:?} {lowest_open:?}");
        }
    }
}
