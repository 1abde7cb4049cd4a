//! One Docker engine: the calls that the adapter needs, each bounded in time.
//!
//! The crate `docker-api` has the types and most of the calls. What its builder of containers
//! cannot say (a read-only root, dropped capabilities) and what its models read too strictly for
//! engines that are newer than itself goes through the client that it is built on.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use anyhow::anyhow;
use containers_api::conn::hyper::{self, Body, Client, Response};
use containers_api::conn::{
    Headers, Payload, RequestClient, Transport, get_http_connector, get_unix_connector,
};
use containers_api::url::{construct_ep, encoded_pair};
use docker_api::opts::{
    ContainerRemoveOpts, EventFilter, EventFilterType, EventsOpts, VolumeCreateOpts,
};
use docker_api::{Docker, Error as ApiError};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::error::EngineError;
use super::tls::{Failure, TlsFiles, Tunnel};

/// What the calls that do real work may take, in terms of what the others may.
const LONG: u32 = 3;

/// A container as a list shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(default)]
    pub(super) names: Vec<String>,
    pub(super) labels: Option<HashMap<String, String>>,
    pub(super) state: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub(super) created: i64,
}

/// What a container does, in full.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Condition {
    pub(super) status: String,
    pub(super) pid: u32,
    pub(super) exit_code: i32,
    /// RFC 3339; the year 1 when it never was.
    pub(super) started_at: String,
    pub(super) finished_at: String,
}

/// A volume as a list shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListedVolume {
    pub(super) labels: Option<HashMap<String, String>>,
    /// RFC 3339.
    #[serde(default)]
    pub(super) created_at: String,
}

/// Something that happened to a container.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) is_death: bool,
    pub(super) exit_code: Option<i32>,
    /// Nanoseconds since 1970, by the engine's clock.
    pub(super) at_ns: i64,
}

pub(super) struct Engine {
    host: String,
    docker: Docker,
    client: RequestClient<ApiError>,
    /// What leads to an engine behind TLS.
    tunnel: Option<Tunnel>,
    limit: Duration,
}

impl Engine {
    /// An engine at `unix://PATH`, `tcp://HOST:PORT` or `http://HOST:PORT`, the latter two perhaps
    /// behind TLS. Nothing is connected yet.
    pub(super) fn new(host: &str, tls: Option<&TlsFiles>, limit: Duration) -> anyhow::Result<Self> {
        let authority = host.split_once("://").map_or(host, |(_, authority)| authority);
        let authority = authority.trim_end_matches('/');
        let tunnel = tls.map(|files| Tunnel::open(authority, files)).transpose()?;
        let near = tunnel.as_ref().map_or_else(|| host.to_owned(), Tunnel::host);
        let docker = Docker::new(&near)?;
        let transport = match near.split_once("://") {
            Some(("unix", path)) => Transport::Unix {
                client: Client::builder().pool_max_idle_per_host(0).build(get_unix_connector()),
                path: path.into(),
            },
            _ => Transport::Tcp {
                client: Client::builder().pool_max_idle_per_host(0).build(get_http_connector()),
                host: format!("tcp://{authority}").parse()?,
            },
        };
        let client = RequestClient::new(transport, Box::new(validate));
        Ok(Self { host: host.to_owned(), docker, client, tunnel, limit })
    }

    /// The version of the engine.
    pub(super) async fn version(&self) -> Result<String, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Version {
            version: String,
        }
        let version: Version = self.get("/version".to_owned()).await?;
        Ok(version.version)
    }

    pub(super) async fn inspect_network(&self, name: &str) -> Result<Value, EngineError> {
        self.get(format!("/networks/{name}")).await
    }

    /// All containers with this label.
    pub(super) async fn containers(&self, label: &str) -> Result<Vec<Listed>, EngineError> {
        let filters = encoded_pair("filters", json!({ "label": [label] }));
        self.get(format!("/containers/json?all=true&{filters}")).await
    }

    /// All volumes with this label.
    pub(super) async fn volumes(&self, label: &str) -> Result<Vec<ListedVolume>, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct List {
            volumes: Option<Vec<ListedVolume>>,
        }
        let filters = encoded_pair("filters", json!({ "label": [label] }));
        let list: List = self.get(construct_ep("/volumes", Some(filters))).await?;
        Ok(list.volumes.unwrap_or_default())
    }

    pub(super) async fn condition(&self, id: &str) -> Result<Condition, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            state: Condition,
        }
        let inspected: Inspected = self.get(format!("/containers/{id}/json")).await?;
        Ok(inspected.state)
    }

    /// Makes a container and returns its id.
    pub(super) async fn create(&self, name: &str, body: &Value) -> Result<String, EngineError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: String,
        }
        let endpoint = construct_ep("/containers/create", Some(encoded_pair("name", name)));
        let payload = Payload::Json(body.to_string());
        let created: Created = self
            .within(self.limit * LONG, "create", async {
                self.client.post_json(endpoint, payload, Headers::none()).await
            })
            .await?;
        Ok(created.id)
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let container = self.docker.containers().get(id);
        self.within(self.limit * LONG, "start", container.start()).await
    }

    /// Sends a signal; SIGKILL returns once it is dead.
    pub(super) async fn signal(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        let container = self.docker.containers().get(id);
        self.within(self.limit * LONG, "kill", container.kill(Some(signal))).await
    }

    pub(super) async fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let container = self.docker.containers().get(id);
        self.within(self.limit, "rename", container.rename(name)).await
    }

    /// Removes a container, dead or alive, and its nameless volumes. Idempotent.
    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = ContainerRemoveOpts::builder().force(true).volumes(true).build();
        let container = self.docker.containers().get(id);
        let removed =
            self.within(self.limit * LONG, "remove", container.remove(&options)).await.map(drop);
        missing_is_fine(removed)
    }

    pub(super) async fn create_volume(
        &self,
        name: &str,
        labels: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<(), EngineError> {
        let options = VolumeCreateOpts::builder().name(name).labels(labels).build();
        let volumes = self.docker.volumes();
        self.within(self.limit * LONG, "create a volume", volumes.create(&options)).await.map(drop)
    }

    /// Removes a volume that nobody uses. Idempotent.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let volume = self.docker.volumes().get(name);
        missing_is_fine(self.within(self.limit * LONG, "remove a volume", volume.delete()).await)
    }

    /// What happens to containers with this label, from `since` on, in seconds since 1970. Ends
    /// with the connection.
    pub(super) fn events(
        &self,
        label: &str,
        since: i64,
    ) -> impl Stream<Item = Result<Event, EngineError>> + Send + Unpin + use<'_> {
        let mut filters = vec![
            EventFilter::Type(EventFilterType::Container),
            EventFilter::Label(label.to_owned()),
        ];
        filters.extend(["start", "die", "destroy"].map(|it| EventFilter::Event(it.to_owned())));
        let options = EventsOpts::builder().filter(filters).since(since).build();
        self.docker.events(&options).map(|message| {
            let message = message.map_err(|error| self.failed(error))?;
            let actor = message
                .actor
                .unwrap_or(docker_api::models::EventActor { attributes: None, id: None });
            let attributes = actor.attributes.unwrap_or_default();
            Ok(Event {
                id: actor.id.unwrap_or_default(),
                is_death: message.action.as_deref() == Some("die"),
                exit_code: attributes.get("exitCode").and_then(|code| code.parse().ok()),
                at_ns: message.time_nano.unwrap_or_default(),
            })
        })
    }

    async fn get<T: DeserializeOwned>(&self, endpoint: String) -> Result<T, EngineError> {
        self.within(self.limit, "get", async { self.client.get_json(endpoint).await }).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, EngineError> {
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| self.failed(error)),
            Err(_) => Err(EngineError::timed_out(&self.host, what)),
        }
    }

    /// The client sees of TLS only that its connection ends.
    fn failed(&self, error: ApiError) -> EngineError {
        let failure = self.tunnel.as_ref().and_then(Tunnel::failure);
        match (EngineError::new(error, &self.host), failure) {
            (EngineError::Unavailable(_), Some(Failure { text, is_distrust: true })) => {
                EngineError::distrust(&self.host, &text)
            }
            (EngineError::Unavailable(cause), Some(failure)) => {
                EngineError::Unavailable(anyhow!("{cause:#}: {}", failure.text))
            }
            (error, _) => error,
        }
    }
}

fn missing_is_fine(answer: Result<(), EngineError>) -> Result<(), EngineError> {
    match answer {
        Err(EngineError::NotFound(_)) => Ok(()),
        answer => answer,
    }
}

type Validated = Pin<Box<dyn Future<Output = Result<Response<Body>, ApiError>> + Send + Sync>>;

/// Takes an answer that is no success for an error, with the engine's own words.
fn validate(response: Response<Body>) -> Validated {
    #[derive(Deserialize)]
    struct Fault {
        message: String,
    }
    Box::pin(async move {
        let code = response.status();
        if code.is_success() {
            return Ok(response);
        }
        let body = hyper::body::to_bytes(response.into_body()).await?;
        let message = serde_json::from_slice::<Fault>(&body)
            .map_or_else(|_| code.to_string(), |fault| fault.message);
        Err(ApiError::Fault { code, message })
    })
}
