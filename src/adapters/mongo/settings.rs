//! Where a worker's MongoDB is and how patiently it is asked.

use std::fmt;
use std::time::Duration;

use mongodb::options::{ClientOptions, ServerAddress, ServerMonitoringMode};

use super::error::broken;
use crate::domain::ids::DatabaseAddress;
use crate::ports::store::StoreError;

const SCHEME: &str = "mongodb://";

/// Settings of the store.
#[derive(Clone)]
pub struct MongoSettings {
    /// A full `mongodb://` URI, with credentials and TLS if need be, or just `host[:port]`.
    pub uri: String,
    /// The database of this worker alone: up to 63 letters, digits, `_` and `-`.
    pub database: String,
    /// `host[:port]` under which other workers reach this database, when it is not the URI's.
    pub advertised_host: Option<String>,
    /// How long a query may run on the server.
    pub query_timeout: Duration,
    /// How long one write command may take; an apply is made of several.
    pub write_timeout: Duration,
    /// How long to look for a server that answers, and to connect to it.
    pub connect_timeout: Duration,
    /// How many connections serve reads at most.
    pub max_connections: u32,
    /// Whether an apply waits until it is on the disk of this machine. The log outlives a machine
    /// that fails, and the stored history never precedes the data, so that nothing is lost
    /// without it: the worker replays what it had not yet written.
    pub journal: bool,
}

impl MongoSettings {
    /// The usual settings for a database.
    pub fn new(uri: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            database: database.into(),
            advertised_host: None,
            query_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(2),
            max_connections: 32,
            journal: false,
        }
    }

    /// How long to wait for the answer to a query: the server ends it earlier, if it still works.
    pub(super) fn answer_timeout(&self) -> Duration {
        self.query_timeout + self.connect_timeout
    }

    /// The driver's options for the own server.
    pub(super) async fn client_options(&self) -> Result<ClientOptions, StoreError> {
        check_database(&self.database)?;
        let uri = match self.uri.strip_prefix(SCHEME) {
            Some(_) => self.uri.clone(),
            None => format!("{SCHEME}{}", plain_host(&self.uri)?),
        };
        // The driver may quote the URI, and the password in it, in its error.
        let mut options = ClientOptions::parse(uri)
            .await
            .map_err(|_| broken("the URI of MongoDB is not valid"))?;
        if options.hosts.len() == 1 && options.repl_set_name.is_none() {
            options.direct_connection = options.direct_connection.or(Some(true));
        }
        options.server_selection_timeout = Some(self.connect_timeout);
        options.connect_timeout = Some(self.connect_timeout);
        options.max_pool_size = Some(self.max_connections);
        // A stream of heartbeats would keep its connection open on the server for seconds after
        // it was closed here.
        options.server_monitoring_mode = Some(ServerMonitoringMode::Poll);
        Ok(options)
    }

    /// Where other workers find this database: no credentials, they use their own.
    pub(super) fn address(&self, hosts: &[ServerAddress]) -> Result<DatabaseAddress, StoreError> {
        let hosts = match &self.advertised_host {
            Some(host) => plain_host(host)?.to_owned(),
            None => hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        Ok(DatabaseAddress::new(format!("{SCHEME}{hosts}/{}", self.database)))
    }
}

/// Without the URI, which may hold a password.
impl fmt::Debug for MongoSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MongoSettings")
            .field("database", &self.database)
            .field("advertised_host", &self.advertised_host)
            .field("query_timeout", &self.query_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_connections", &self.max_connections)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

/// The hosts and the database of an address that [`MongoSettings::address`] made.
pub(super) fn parse_address(
    address: &DatabaseAddress,
) -> Result<(Vec<ServerAddress>, String), StoreError> {
    let refuse = || broken("the address of the source is not `mongodb://host[:port]/database`");
    let (hosts, database) = address
        .as_str()
        .strip_prefix(SCHEME)
        .and_then(|rest| rest.split_once('/'))
        .ok_or_else(refuse)?;
    check_database(database)?;
    let parse_one = |host: &str| ServerAddress::parse(plain_host(host)?).map_err(|_| refuse());
    Ok((hosts.split(',').map(parse_one).collect::<Result<_, _>>()?, database.to_owned()))
}

fn check_database(name: &str) -> Result<(), StoreError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let is_reserved = ["admin", "config", "local"].contains(&name);
    if (1..=63).contains(&name.len()) && name.bytes().all(is_plain) && !is_reserved {
        return Ok(());
    }
    Err(broken("a database is named by 1 to 63 letters, digits, `_` or `-`"))
}

/// A host that smuggles in neither credentials nor options.
fn plain_host(host: &str) -> Result<&str, StoreError> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if !host.is_empty() && host.bytes().all(is_plain) {
        return Ok(host);
    }
    Err(broken("the host of MongoDB is neither `host[:port]` nor a `mongodb://` URI"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn address(uri: &str) -> Result<String, StoreError> {
        let settings = MongoSettings::new(uri, "worker-1");
        let options = settings.client_options().await?;
        Ok(settings.address(&options.hosts)?.to_string())
    }

    #[tokio::test]
    async fn address_names_hosts_and_database_and_no_credentials() {
        let table = [
            ("db7", "mongodb://db7:27017/worker-1"),
            ("10.0.0.1:27018", "mongodb://10.0.0.1:27018/worker-1"),
            ("mongodb://me:hidden@a:1,b:2/x?authSource=admin", "mongodb://a:1,b:2/worker-1"),
        ];
        for (uri, expected) in table {
            assert_eq!(address(uri).await.unwrap(), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn address_is_understood_by_the_worker_that_copies() {
        let address = DatabaseAddress::new(address("mongodb://a:1,b:2").await.unwrap());
        let (hosts, database) = parse_address(&address).unwrap();
        assert_eq!(
            hosts,
            [ServerAddress::parse("a:1").unwrap(), ServerAddress::parse("b:2").unwrap()]
        );
        assert_eq!(database, "worker-1");
    }

    #[test]
    fn address_with_credentials_options_or_no_database_is_refused() {
        for text in [
            "mongodb://me:word@host/db",
            "mongodb://host/db?tls=false",
            "mongodb://host",
            "mongodb://host/",
            "mongodb:///db",
            "mongodb://host/admin",
            "host/db",
        ] {
            assert!(parse_address(&DatabaseAddress::new(text)).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn broken_uri_is_refused_without_quoting_it() {
        for uri in ["mongodb://me:hid/den@host", "host?tls=1", "", "me:hidden@host"] {
            let error = MongoSettings::new(uri, "d").client_options().await.unwrap_err();
            assert!(!format!("{error:?}").contains("hid"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn database_names_that_mongodb_gives_a_meaning_are_refused() {
        for name in ["", "admin", "a.b", "a/b", "a$", &"x".repeat(64)] {
            let settings = MongoSettings::new("host", name);
            assert!(settings.client_options().await.is_err(), "{name}");
        }
    }

    #[test]
    fn settings_show_no_password() {
        let settings = MongoSettings::new("mongodb://me:hidden@host", "d");
        assert!(!format!("{settings:?}").contains("hidden"));
    }
}
