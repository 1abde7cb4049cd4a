//! MongoDB that speaks TLS only and wants to know the user.

use std::sync::Arc;

use mongodb::Client;
use mongodb::bson::doc;
use rideshare::adapters::mongo::{MongoSettings, MongoStore};
use rideshare::domain::filter::Filter;
use rideshare::domain::ids::Offset;
use rideshare::domain::log::Change;
use rideshare::domain::query::Query;
use rideshare::ports::store::{Store, StoreError};

use super::certificates::Authority;
use crate::mongo::server::Server;
use crate::mongo::{history, things};
use crate::system::System;

const USER: &str = "rideshare";
/// As it is, and as it stands in a URI.
const PASSWORD: [&str; 2] = ["p@ss:w/rd", "p%40ss%3Aw%2Frd"];

pub(super) struct SecuredDatabases {
    server: Server,
    authority: Authority,
}

impl SecuredDatabases {
    /// What is never to be shown.
    pub(super) const SECRETS: &[&str] = &PASSWORD;

    pub(super) fn url(&self) -> String {
        self.settings(PASSWORD[1]).uri
    }

    pub(super) async fn start() -> Self {
        let authority = Authority::new();
        // At first it takes both, so that the script sees that it runs.
        let server = Server::configured(&format!(
            "net:\n  tls:\n    mode: preferTLS\n    certificateKeyFile: {}\n    \
             allowConnectionsWithoutCertificates: true\n    CAFile: {}\n\
             security:\n  authorization: enabled\n",
            authority.server_identity().display(),
            authority.certificate().display(),
        ));
        let databases = Self { server, authority };
        let client = Client::with_uri_str(databases.uri("", Some(&databases.authority))).await;
        let admin = client.unwrap().database("admin");
        // From its own machine the first user may be made by anybody, and nothing else.
        let user = doc! { "createUser": USER, "pwd": PASSWORD[0], "roles": ["root"] };
        admin.run_command(user).await.unwrap();
        let client = Client::with_uri_str(databases.settings(PASSWORD[1]).uri).await.unwrap();
        let strict = doc! { "setParameter": 1, "tlsMode": "requireTLS" };
        client.database("admin").run_command(strict).await.unwrap();
        databases
    }

    /// Its address with somebody's name and password, or nobody's, and an `@` after it.
    fn uri(&self, login: &str, trusted: Option<&Authority>) -> String {
        let host = self.server.uri().replace("mongodb://", "");
        let mut uri = format!("mongodb://{login}{host}/?tls=true");
        if let Some(trusted) = trusted {
            let file = trusted.certificate().display().to_string().replace('/', "%2F");
            uri.push_str(&format!("&tlsCAFile={file}"));
        }
        uri
    }

    fn settings(&self, password: &str) -> MongoSettings {
        let login = format!("{USER}:{password}@");
        MongoSettings::new(self.uri(&login, Some(&self.authority)), "secured")
    }
}

/// Why nothing can be read with these settings; whether it may pass.
async fn refusal(uri: String) -> (String, bool) {
    let store = MongoStore::connect(MongoSettings::new(uri, "secured")).await.unwrap();
    match store.history().await.unwrap_err() {
        StoreError::Unavailable(error) => (format!("{error:#}"), true),
        StoreError::Internal(error) => (format!("{error:#}"), false),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_over_tls_and_with_a_password_are_written_read_and_copied() {
    let databases = SecuredDatabases::start().await;
    let store = MongoStore::connect(databases.settings(PASSWORD[1])).await.unwrap();
    let document = serde_json::from_value(serde_json::json!({ "_id": 1, "v": "x" })).unwrap();
    let document = Arc::new(document);
    let id = 1.into();
    let put = Change::Put { collection: things(), id, document: Arc::clone(&document) };
    store.apply(&[put], &history(3)).await.unwrap();
    let query = Query {
        collection: things(),
        filter: Filter::all(),
        sort: Vec::new(),
        projection: None,
        skip: 0,
        limit: Some(10),
    };
    assert_eq!(store.find(&query, 1 << 20).await.unwrap(), [(*document).clone()]);

    let settings =
        MongoSettings { database: "copied".to_owned(), ..databases.settings(PASSWORD[1]) };
    let copy = MongoStore::connect(settings).await.unwrap();
    copy.copy_from(&store.address()).await.unwrap();
    assert_eq!(copy.find(&query, 1 << 20).await.unwrap(), [(*document).clone()]);
    assert_eq!(copy.history().await.unwrap().applied, Some(Offset(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_no_trusted_authority_vouches_for_are_refused_and_the_setting_named() {
    let databases = SecuredDatabases::start().await;
    let other = Authority::new();
    let login = format!("{USER}:{}@", PASSWORD[1]);
    for trusted in [Some(&other), None] {
        let (reason, passes) = refusal(databases.uri(&login, trusted)).await;
        assert!(reason.contains("certificate") && reason.contains("mongodb.url"), "{reason}");
        assert!(passes, "{reason}");
    }
    let plain = databases.uri(&login, None).replace("?tls=true", "");
    let (reason, _) = refusal(plain).await;
    assert!(!reason.contains(PASSWORD[1]), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_password_of_the_databases_is_told_by_its_setting_and_not_shown() {
    let databases = SecuredDatabases::start().await;
    let of = |login: &str| databases.uri(login, Some(&databases.authority));
    let (told, wrong) = ("user or password of mongodb.url", of(&format!("{USER}:guessed@")));
    for (uri, told) in [(wrong.clone(), told), (of(""), "the user of mongodb.url")] {
        let (reason, passes) = refusal(uri).await;
        assert!(reason.contains(told) && !reason.contains("guessed"), "{reason}");
        assert!(!passes, "{reason}");
    }
    // A worker says so and ends.
    let system = System::prepare(1);
    let mut command = system.command(&["worker", "--type", "slave"]);
    command.env("RIDESHARE_MONGODB__URL", &wrong);
    let worker = system.worker_of(command);
    worker.says(told).await;
    assert!(!worker.log().contains("guessed"), "{}", worker.log());
    assert_ne!(worker.ended().await, Some(0));
}

#[tokio::test]
async fn authority_that_cannot_be_read_is_told_at_the_start() {
    let uri = "mongodb://127.0.0.1:1/?tls=true&tlsCAFile=%2Fnowhere%2Fmissing.pem";
    let error = MongoStore::connect(MongoSettings::new(uri, "secured")).await.err();
    let Some(StoreError::Internal(error)) = error else { panic!("{error:?}") };
    assert!(format!("{error:#}").contains("TLS settings of mongodb.url"), "{error:#}");
}
