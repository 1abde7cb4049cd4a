//! Which faults a run has, and how often.
//!
//! Drawn anew for each run, with about half of the kinds left out: what one fault would hide,
//! another run shows ("swarm testing", Groce and others, 2012).

use crate::dice::Dice;

/// Probabilities in a thousand per step, and the longest times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct FaultPlan {
    pub(crate) step_delayed: u64,
    pub(crate) step_delay_ms: u64,
    /// The append does not happen, and the worker is told so.
    pub(crate) append_refused: u64,
    /// The worker is not told; it happens at once, later, or never.
    pub(crate) append_unknown: u64,
    pub(crate) append_late_ms: u64,
    pub(crate) tail_broken: u64,
    pub(crate) tail_late_ms: u64,
    pub(crate) request_lost: u64,
    pub(crate) request_late: u64,
    pub(crate) request_doubled: u64,
    /// The sender is told that it did not go out; it did or did not.
    pub(crate) send_failed: u64,
    pub(crate) answer_failed: u64,
    pub(crate) reply_lost: u64,
    pub(crate) reply_late: u64,
    pub(crate) reply_doubled: u64,
    pub(crate) message_late_ms: u64,
    pub(crate) progress_lost: u64,
    pub(crate) coordination_failed: u64,
    pub(crate) view_late_ms: u64,
    pub(crate) apply_failed: u64,
    pub(crate) apply_halved: u64,
    pub(crate) history_late: u64,
    pub(crate) query_failed: u64,
    pub(crate) copy_failed: u64,
    pub(crate) start_failed: u64,
    /// How long the run has faults.
    pub(crate) chaos_ms: u64,
    /// The longest pause between two disruptions.
    pub(crate) disruption_ms: u64,
    /// How many records the log keeps, where it does not keep all.
    pub(crate) retention: Option<usize>,
    /// The log loses its data once.
    pub(crate) log_lost: bool,
    /// Which disruptions there are, one bit each.
    pub(crate) disruptions: u64,
    pub(crate) slaves: u32,
    pub(crate) clients: u64,
    pub(crate) think_ms: u64,
}

impl FaultPlan {
    pub(crate) fn draw(dice: &Dice) -> Self {
        let sometimes = |most: u64| if dice.chance(500) { dice.between(1, most) } else { 0 };
        Self {
            step_delayed: sometimes(200),
            step_delay_ms: dice.between(1, 60),
            append_refused: sometimes(20),
            append_unknown: sometimes(40),
            append_late_ms: dice.between(1, 4_000),
            tail_broken: sometimes(10),
            tail_late_ms: sometimes(100),
            request_lost: sometimes(50),
            request_late: sometimes(100),
            request_doubled: sometimes(100),
            send_failed: sometimes(50),
            answer_failed: sometimes(30),
            reply_lost: sometimes(80),
            reply_late: sometimes(100),
            reply_doubled: sometimes(100),
            message_late_ms: dice.between(1, 5_000),
            progress_lost: sometimes(300),
            coordination_failed: sometimes(100),
            view_late_ms: sometimes(1_000),
            apply_failed: sometimes(30),
            apply_halved: sometimes(30),
            history_late: sometimes(300),
            query_failed: sometimes(30),
            copy_failed: sometimes(300),
            start_failed: sometimes(200),
            chaos_ms: dice.between(3_000, 20_000),
            disruption_ms: dice.between(200, 4_000),
            retention: dice.chance(250).then(|| dice.between(20, 200) as usize),
            disruptions: dice.next(),
            slaves: dice.between(1, 4) as u32,
            clients: dice.between(1, 4),
            think_ms: dice.between(1, 300),
            log_lost: dice.chance(200),
        }
    }
}
