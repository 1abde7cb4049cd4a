//! The users and rides services as their contract tells them: one suite for any system.
//!
//! A case takes a [`Target`]: addresses, and nothing of how the system behind them was started.
//! It begins on an empty database and makes no claim on what ids come next, so that all cases can
//! run one after the other on one system ([`run_all`]) as well as each on a system of its own
//! ([`cases`]).
//!
//! Not for a system that anybody else uses: everything in it is removed.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod client;
pub(crate) mod counting;
pub(crate) mod instances;
pub(crate) mod races;
pub(crate) mod rides;
pub(crate) mod target;
pub(crate) mod users;

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt;

pub(crate) use target::Target;

/// Hands all cases to another macro, each with what it needs: `one` slave and instance of each
/// service, some slaves to lose (`replicated`), or `two` instances.
macro_rules! cases {
    ($apply:ident) => {
        $apply! {
            one users::user_is_made_listed_found_and_removed,
            one users::taken_empty_or_missing_name_and_bad_password_are_400,
            one users::any_text_can_be_a_name_and_none_is_cut,
            one users::name_of_a_hundred_kilobytes_is_kept_found_and_removed_whole,
            one users::name_in_a_body_is_checked,
            one users::address_that_is_too_long_has_a_clear_status,
            one users::password_is_stored_as_an_argon2id_hash_alone,
            one users::wrong_methods_of_users_are_405_and_unknown_paths_404,
            one users::clear_removes_users_and_rides,
            one users::health_and_readiness_are_told_and_not_counted,
            one rides::ride_is_made_found_joined_counted_and_removed,
            one rides::bad_rides_are_400,
            one rides::list_holds_what_is_to_come_between_two_areas_by_time,
            one rides::list_longer_than_a_page_is_whole_and_in_order,
            one rides::odd_ride_ids_have_their_codes,
            one rides::join_of_unknown_rides_and_users_and_bad_bodies_are_400,
            one rides::wrong_methods_of_rides_are_405_and_unknown_paths_404_and_all_are_counted,
            one rides::ids_rise_and_are_never_used_again,
            one rides::any_text_goes_through_rides_unchanged,
            one counting::every_request_is_counted_whatever_became_of_it,
            one counting::count_is_exact_when_many_ask_at_once,
            one races::two_joins_at_once_keep_both,
            one races::of_two_removals_at_once_one_succeeds,
            replicated races::what_was_answered_is_what_is_there_after_kills_of_the_master,
            two instances::of_equal_names_at_once_one_is_made,
            two instances::user_made_through_another_instance_is_known_at_once,
            two instances::ride_by_a_user_just_made_is_accepted_through_any_instance,
            two instances::client_that_tells_its_offset_is_never_shown_less,
            two instances::ids_of_two_instances_never_meet,
        }
    };
}
#[allow(unused_imports, reason = "who runs them all in a row needs no more")]
pub(crate) use cases;

macro_rules! run_each {
    ($($needs:ident $module:ident::$case:ident),+ $(,)?) => {
        /// Runs every case, one after the other, and says which failed.
        pub(crate) async fn run_all(target: &Target) {
            let mut failed = Vec::new();
            $(
                target.reset().await;
                let started = Instant::now();
                let case = AssertUnwindSafe($module::$case(target)).catch_unwind().await;
                let word = if case.is_ok() { "ok" } else { "FAILED" };
                eprintln!(
                    "{word:>7} {:6.2} s  {}::{}",
                    started.elapsed().as_secs_f64(),
                    stringify!($module),
                    stringify!($case),
                );
                if case.is_err() {
                    failed.push(stringify!($case));
                }
            )+
            target.reset().await;
            assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
        }
    };
}
cases!(run_each);
