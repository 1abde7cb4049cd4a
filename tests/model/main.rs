//! The promotion and fencing protocol, checked in every order of events that a small world allows.
//!
//! Three workers, one log, one leader record and two writes. Workers stop at any point for any
//! time (a worker that is paused is one that takes no step), crash and come back with their
//! database or without, and lose the log; appended records land late, in any order, or never;
//! requests are delivered again; masters are replaced. What the records mean
//! (`domain::log::History`) and what the workers do (`domain::promotion::step`) is the product's
//! own code; the rest of a worker, in `node`, is as small as it can be and allows more than the
//! product does: it has no order among records under way, and nothing takes a known time.
//!
//! Variants that leave out one safeguard each show that the checks would notice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod node;
mod record;
mod world;

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::bounds::{Budget, Safeguards};
use crate::world::Protocol;

/// Longer than any of these may take on two slow cores.
const LIMIT: Duration = Duration::from_secs(90);

/// Checks everything and says how much that was.
fn check(name: &str, protocol: Protocol) -> impl Checker<Protocol> {
    let started = Instant::now();
    let checker = protocol.checker().threads(2).timeout(LIMIT * 4).spawn_bfs().join();
    eprintln!(
        "{name}: {} states, {} of them different, depth {}, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
    );
    checker
}

fn expect_safe(name: &str, budget: Budget) {
    let checker = check(name, Protocol::new(Safeguards::ALL, budget));
    checker.assert_properties();
    assert!(checker.is_done(), "not all states were seen");
}

#[test]
fn two_failovers_of_three_workers_break_no_rule() {
    expect_safe("two failovers", Budget::from_environment().unwrap_or(Budget::two_failovers()));
}

#[test]
fn crash_of_any_worker_at_any_point_breaks_no_rule() {
    expect_safe("crash", Budget::crash());
}

#[test]
fn loss_of_the_log_at_any_point_breaks_no_rule() {
    expect_safe("loss of the log", Budget::loss_of_the_log());
}

#[test]
fn strong_read_at_any_point_misses_no_write() {
    expect_safe("strong read", Budget::strong_read());
}

/// Looks for a way to break one rule, and shows it.
fn expect_broken(name: &str, safeguards: Safeguards, budget: Budget, rule: &'static str) {
    let started = Instant::now();
    let protocol = Protocol::new(safeguards, budget);
    let looking = HasDiscoveries::AnyOf([rule].into());
    let checker = protocol.checker().threads(2).finish_when(looking).timeout(LIMIT).spawn_bfs();
    let checker = checker.join();
    let path = checker.assert_any_discovery(rule);
    eprintln!(
        "{name}: \"{rule}\" is broken after {} steps ({} states, {:.1} s):",
        path.clone().into_actions().len(),
        checker.unique_state_count(),
        started.elapsed().as_secs_f64(),
    );
    for action in path.into_actions() {
        eprintln!("  {action:?}");
    }
}

#[test]
fn without_the_epoch_check_at_admission_a_deposed_master_writes() {
    let safeguards = Safeguards { epoch_check: false, ..Safeguards::ALL };
    let name = "no epoch check at admission";
    expect_broken(name, safeguards, Budget::two_failovers(), world::ONE_MASTER);
}

#[test]
fn with_an_answer_before_the_read_back_a_write_is_lost() {
    let safeguards = Safeguards { read_back: false, ..Safeguards::ALL };
    let name = "answer before the read-back";
    expect_broken(name, safeguards, Budget::two_failovers(), world::NOTHING_LOST);
}

#[test]
fn with_an_answer_before_the_read_back_a_deposed_master_answers() {
    let safeguards = Safeguards { read_back: false, ..Safeguards::ALL };
    let name = "answer before the read-back";
    expect_broken(name, safeguards, Budget::two_failovers(), world::DEPOSED_IS_SILENT);
}

#[test]
fn without_the_duplicate_window_a_write_is_applied_twice() {
    let safeguards = Safeguards { duplicate_window: false, ..Safeguards::ALL };
    let name = "no duplicate window";
    expect_broken(name, safeguards, Budget::two_failovers(), world::ONCE);
}

#[test]
fn without_a_window_fed_again_after_a_restart_a_write_is_applied_twice() {
    let safeguards = Safeguards { window_after_restart: false, ..Safeguards::ALL };
    let name = "no window after a restart";
    expect_broken(name, safeguards, Budget::crash(), world::ONCE);
}

#[test]
fn with_a_strong_read_before_its_barrier_a_write_is_missed() {
    let safeguards = Safeguards { read_back: false, ..Safeguards::ALL };
    let name = "strong read before its barrier";
    expect_broken(name, safeguards, Budget::strong_read(), world::STRONG_READ);
}
