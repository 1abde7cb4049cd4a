//! The suite of the users and rides services, on their own ports and through the gateway.

use std::time::Instant;

use serde_json::json;

use crate::engine::docker;
use crate::suite::{Target, races, rides, run_all, users};
use crate::system::{System, ready};

/// A second instance of a service, beside that of compose; removed with the system.
fn another(system: &System, name: &str) -> String {
    let label = format!("com.docker.compose.project={}", system.project);
    let network = format!("{}_front", system.project);
    let container = docker(&[
        "run",
        "--detach",
        "--label",
        &label,
        "--network",
        &network,
        "--publish",
        "127.0.0.1::8080",
        "--env",
        "RIDESHARE_AUTH__ALLOW_OPEN=true",
        "--env",
        "RIDESHARE_APPS__DATABASE_URL=http://orchestrator:8080",
        "--env",
        "RIDESHARE_APPS__USERS_URL=http://users:8080",
        &system.image,
        "app",
        name,
    ]);
    let address = docker(&["port", &container.unwrap(), "8080/tcp"]).unwrap();
    format!("http://{}", address.lines().next().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_rides_keep_their_contract_in_containers() {
    // What the cases read would have the autoscaler start slaves meanwhile.
    let system = System::prepare(2, &[("RIDESHARE_SCALING__WINDOW_SECS", "3600")]);
    system.up();
    system.settle(2).await;
    let all_users = [system.users_url(), another(&system, "users")];
    let all_rides = [system.rides_url(), another(&system, "rides")];
    let client = Target::client();
    let target = Target::new(&client, &system.url, &all_users, &all_rides);
    for url in all_users.iter().chain(&all_rides) {
        ready(url, Instant::now()).await;
    }
    run_all(&target).await;

    let gateway = [system.gateway_url()];
    ready(&gateway[0], Instant::now()).await;
    let target = Target::new(&client, &system.url, &gateway, &gateway);
    through_the_gateway(&target).await;
}

/// What does not tell one service from the other. Each service counts its own requests, and the
/// gateway has no port for each.
async fn through_the_gateway(target: &Target) {
    macro_rules! run {
        ($($module:ident::$case:ident),+ $(,)?) => {
            $(
                eprintln!("through the gateway  {}", stringify!($module::$case));
                target.reset().await;
                $module::$case(target).await;
            )+
        };
    }
    run!(
        users::user_is_made_listed_found_and_removed,
        users::taken_empty_or_missing_name_and_bad_password_are_400,
        users::name_of_a_hundred_kilobytes_is_kept_found_and_removed_whole,
        users::name_in_a_body_is_checked,
        users::address_that_is_too_long_has_a_clear_status,
        users::password_is_stored_as_an_argon2id_hash_alone,
        users::clear_removes_users_and_rides,
        rides::ride_is_made_found_joined_counted_and_removed,
        rides::bad_rides_are_400,
        rides::list_holds_what_is_to_come_between_two_areas_by_time,
        rides::list_longer_than_a_page_is_whole_and_in_order,
        rides::odd_ride_ids_have_their_codes,
        rides::any_text_goes_through_rides_unchanged,
        races::two_joins_at_once_keep_both,
        races::of_two_removals_at_once_one_succeeds,
    );
    odd_names(target).await;
}

/// A name in the path is nothing to the gateway, whatever it looks like.
async fn odd_names(target: &Target) {
    let gateway = target.users();
    for name in ["a/b", "../rides/1", "..", "a%2Fb", "?x=1", "#", "Ünal Ωmega", "\\", " "] {
        assert_eq!(users::put(gateway, name).await, 201, "{name:?}");
        let segment = users::segment(name);
        // A client takes dots as steps in the tree.
        if name != ".." {
            let found = gateway.get(&format!("/api/v1/users/{segment}")).await;
            assert_eq!(found.parts(), (200, json!({ "username": name })));
        }
    }
}
