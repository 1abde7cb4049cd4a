//! The users and rides services of `up`: the whole suite, each case on a system of its own, and
//! what takes a setting or a look into the system.

use serde_json::json;

use crate::suite::rides::{post, ride};
use crate::suite::users::{SHA1, put};
use crate::suite::{self, Target, cases};
use crate::support::{AppProcess, System};

/// A system for one case; ends with it.
struct Fixture {
    target: Target,
    _instances: Vec<AppProcess>,
    _system: System,
}

impl Fixture {
    async fn one() -> Self {
        Self::of(System::start(1).await, Vec::new())
    }

    async fn replicated() -> Self {
        let system = System::start(2).await;
        system.settle(2).await;
        Self::of(system, Vec::new())
    }

    async fn two() -> Self {
        let system = System::start(3).await;
        let users = AppProcess::start("users", &system, &[]).await;
        let arguments = ["--users-url", &users.app.url];
        let rides = AppProcess::start("rides", &system, &arguments).await;
        Self::of(system, vec![users, rides])
    }

    fn of(system: System, instances: Vec<AppProcess>) -> Self {
        let target = system.target(&instances.iter().collect::<Vec<_>>());
        Self { target, _instances: instances, _system: system }
    }
}

macro_rules! on_up {
    ($($needs:ident $module:ident::$case:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $case() {
                let fixture = Fixture::$needs().await;
                suite::$module::$case(&fixture.target).await;
            }
        )+
    };
}
cases!(on_up);

#[tokio::test]
async fn areas_can_be_replaced() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "number,name\n500,Here\n501,There\n").unwrap();
    let path = file.path().to_str().unwrap();
    let system = System::start_with(1, &[("RIDESHARE_APPS__AREAS_FILE", path)]).await;
    assert_eq!(put(&system.users, "a").await, 201);
    assert_eq!(post(&system.rides, &ride("a")).await, 400);
    let mut body = ride("a");
    (body["source"], body["destination"]) = (json!(500), json!(501));
    assert_eq!(post(&system.rides, &body).await, 201);
}

#[tokio::test]
async fn password_is_not_logged() {
    let system = System::start_with(1, &[("RIDESHARE_LOG__FILTER", "debug")]).await;
    assert_eq!(put(&system.users, "a").await, 201);
    assert_eq!(put(&system.users, "a").await, 400);
    let log = system.log().to_lowercase();
    assert!(log.contains("answered"), "the requests are logged");
    assert!(!log.contains(SHA1));
}

#[tokio::test]
async fn service_of_its_own_stops_in_order() {
    let system = System::start(1).await;
    let users = AppProcess::start("users", &system, &[]).await;
    assert_eq!(put(&users.app, "a").await, 201);
    assert_eq!(users.terminate().await, Some(0));
}
