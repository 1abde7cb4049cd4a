//! Decides how many slaves the reads of a window call for.
//!
//! Pure: time comes in as milliseconds of any clock that does not jump.

/// How the number of slaves follows the reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingRules {
    /// The length of a window in milliseconds.
    pub window_ms: u64,
    /// How many reads one slave is to carry per window.
    pub reads_per_slave: u64,
    /// Never fewer slaves; at least 1.
    pub min_slaves: u32,
    /// Never more slaves.
    pub max_slaves: u32,
}

/// What a finished window calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The reads that were counted in it.
    pub reads: u64,
    /// The number of slaves for the next.
    pub slaves: u32,
}

/// What a window that is still under way would call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The reads that were counted in it so far, and the slaves that they call for.
    pub so_far: Decision,
    /// How long until it ends, in milliseconds; nothing before the first read.
    pub ends_in_ms: Option<u64>,
}

/// Counts reads in windows that follow each other; the first begins with the first read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadWindow {
    started_at_ms: Option<u64>,
    reads: u64,
}

impl ScalingRules {
    /// 0 to `reads_per_slave` reads call for one slave, up to twice that for two, and so on.
    #[must_use]
    pub fn slaves_for(&self, reads: u64) -> u32 {
        let wanted = reads.div_ceil(self.reads_per_slave.max(1)).max(1);
        let least = self.min_slaves.max(1);
        u32::try_from(wanted).unwrap_or(u32::MAX).clamp(least, self.max_slaves.max(least))
    }
}

impl ReadWindow {
    /// Takes in reads that came since the last call, and decides when a window has ended.
    ///
    /// Reads that come with the call that ends a window belong to the ended one.
    pub fn tick(&mut self, now_ms: u64, new_reads: u64, rules: &ScalingRules) -> Option<Decision> {
        self.reads += new_reads;
        if self.started_at_ms.is_none() && new_reads > 0 {
            self.started_at_ms = Some(now_ms);
        }
        let started_at_ms = self.started_at_ms?;
        if now_ms.saturating_sub(started_at_ms) < rules.window_ms {
            return None;
        }
        let decision = Decision { reads: self.reads, slaves: rules.slaves_for(self.reads) };
        *self = Self { started_at_ms: Some(now_ms), reads: 0 };
        Some(decision)
    }

    /// What the window would call for if it ended now.
    #[must_use]
    pub fn outlook(&self, now_ms: u64, rules: &ScalingRules) -> Outlook {
        let so_far = Decision { reads: self.reads, slaves: rules.slaves_for(self.reads) };
        let ends_in_ms = self.started_at_ms.map(|started_at_ms| {
            rules.window_ms.saturating_sub(now_ms.saturating_sub(started_at_ms))
        });
        Outlook { so_far, ends_in_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ScalingRules =
        ScalingRules { window_ms: 120_000, reads_per_slave: 20, min_slaves: 1, max_slaves: 16 };

    #[test]
    fn each_further_twenty_reads_call_for_one_more_slave() {
        let table =
            [(0, 1), (1, 1), (20, 1), (21, 2), (40, 2), (41, 3), (60, 3), (61, 4), (9_999, 16)];
        for (reads, slaves) in table {
            assert_eq!(RULES.slaves_for(reads), slaves, "{reads} reads");
        }
    }

    #[test]
    fn bounds_hold_even_where_they_contradict_each_other() {
        let rules = ScalingRules { min_slaves: 3, max_slaves: 2, ..RULES };
        assert_eq!(rules.slaves_for(0), 3);
        let rules = ScalingRules { min_slaves: 0, max_slaves: 0, reads_per_slave: 0, ..RULES };
        assert_eq!(rules.slaves_for(5), 1);
    }

    #[test]
    fn first_window_begins_with_the_first_read() {
        let mut window = ReadWindow::default();
        assert_eq!(window.tick(500_000, 0, &RULES), None);
        assert_eq!(window.tick(600_000, 21, &RULES), None);
        assert_eq!(window.tick(719_999, 0, &RULES), None);
        assert_eq!(window.tick(720_000, 0, &RULES), Some(Decision { reads: 21, slaves: 2 }));
    }

    #[test]
    fn outlook_says_what_the_reads_so_far_call_for_and_until_when() {
        let mut window = ReadWindow::default();
        let none = Outlook { so_far: Decision { reads: 0, slaves: 1 }, ends_in_ms: None };
        assert_eq!(window.outlook(5_000, &RULES), none);
        window.tick(10_000, 45, &RULES);
        for (now_ms, left) in [(10_000, 120_000), (70_000, 60_000), (999_000, 0)] {
            let so_far = Decision { reads: 45, slaves: 3 };
            let expected = Outlook { so_far, ends_in_ms: Some(left) };
            assert_eq!(window.outlook(now_ms, &RULES), expected);
        }
    }

    #[test]
    fn reads_in_the_middle_of_a_window_do_not_begin_another() {
        let mut window = ReadWindow::default();
        window.tick(0, 1, &RULES);
        assert_eq!(window.tick(60_000, 30, &RULES), None);
        assert_eq!(window.tick(120_000, 0, &RULES), Some(Decision { reads: 31, slaves: 2 }));
    }

    #[test]
    fn windows_follow_each_other_and_an_idle_one_calls_for_one_slave() {
        let mut window = ReadWindow::default();
        window.tick(0, 100, &RULES);
        assert_eq!(window.tick(120_000, 0, &RULES), Some(Decision { reads: 100, slaves: 5 }));
        assert_eq!(window.tick(239_999, 0, &RULES), None);
        assert_eq!(window.tick(240_000, 0, &RULES), Some(Decision { reads: 0, slaves: 1 }));
    }
}
