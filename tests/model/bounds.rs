//! What the protocol may leave out, and how much may happen.

/// What the protocol does for its safety; each can be left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Safeguards {
    /// A batch counts only in its epoch and in sequence.
    pub(crate) epoch_check: bool,
    /// Nothing is answered before its record was read back.
    pub(crate) read_back: bool,
    /// A write that was carried out is recognised.
    pub(crate) duplicate_window: bool,
    /// The window is fed again from the log after a restart.
    pub(crate) window_after_restart: bool,
}

impl Safeguards {
    pub(crate) const ALL: Self = Self {
        epoch_check: true,
        read_back: true,
        duplicate_window: true,
        window_after_restart: true,
    };
}

/// How often what may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Writes that are sent.
    pub(crate) writes: u8,
    /// Strong reads that are sent.
    pub(crate) reads: u8,
    /// Somebody else is named leader.
    pub(crate) elections: u8,
    /// A worker dies and comes back.
    pub(crate) crashes: u8,
    /// A worker loses the log.
    pub(crate) losses: u8,
    /// A client sends a write again.
    pub(crate) retries: u8,
}

impl Budget {
    pub(crate) const NOTHING: Self =
        Self { writes: 1, reads: 0, elections: 1, crashes: 0, losses: 0, retries: 0 };

    pub(crate) const fn two_failovers() -> Self {
        Self { writes: 2, elections: 2, retries: 1, ..Self::NOTHING }
    }

    pub(crate) const fn crash() -> Self {
        Self { writes: 1, elections: 2, crashes: 1, retries: 1, ..Self::NOTHING }
    }

    pub(crate) const fn loss_of_the_log() -> Self {
        Self { writes: 1, elections: 2, losses: 1, retries: 1, ..Self::NOTHING }
    }

    pub(crate) const fn strong_read() -> Self {
        Self { writes: 1, reads: 1, elections: 2, ..Self::NOTHING }
    }

    /// What the environment says, for a larger world than there is time for every day:
    /// `writes,reads,elections,crashes,losses,retries`.
    pub(crate) fn from_environment() -> Option<Self> {
        let text = std::env::var("RIDESHARE_TEST_WORLD").ok()?;
        let numbers: Vec<u8> = text.split(',').map(|number| number.parse().unwrap()).collect();
        let [writes, reads, elections, crashes, losses, retries] = numbers[..] else {
            panic!("RIDESHARE_TEST_WORLD is six numbers");
        };
        Some(Self { writes, reads, elections, crashes, losses, retries })
    }
}
