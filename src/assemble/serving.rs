//! What the HTTP servers of one process have in common: whom they let in, and how they are reached.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::access::Access;
use super::listen::{specified, threads};
use crate::domain::access::Tokens;
use crate::http::BodyLimits;
use crate::http::access::Policy;
use crate::http::pace::Pace;
use crate::http::server::Options;
use crate::http::tls::Certificate;
use crate::settings::{Http, Limits, Settings};

/// Cheap to clone; all clones follow the same files.
#[derive(Clone)]
pub(super) struct Serving {
    access: Access,
    http: Http,
    limits: Limits,
    certificate: Option<Certificate>,
}

impl Serving {
    /// As the settings say.
    ///
    /// # Errors
    /// When a token is none, or the certificate cannot be used.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let http = settings.http.clone();
        let certificate = http
            .has_tls()
            .then(|| Certificate::read(http.tls_cert.clone(), http.tls_key.clone()))
            .transpose()?;
        let limits = settings.limits.clone();
        Ok(Self { access: Access::new(&settings.auth)?, http, limits, certificate })
    }

    /// For one server.
    pub(super) fn options(&self, policy: Policy) -> Options {
        Options {
            threads: threads(self.http.threads),
            connections: self.http.max_connections,
            guard: self.access.guard(policy),
            pace: Pace::new(self.limits.requests_per_second),
            certificate: self.certificate.clone(),
        }
    }

    /// What a request's body may be.
    pub(super) const fn body_limits(&self) -> BodyLimits {
        let Limits { body_bytes: bytes, body_secs, .. } = self.limits;
        BodyLimits { bytes, time: Duration::from_secs(body_secs) }
    }

    /// The address that this machine reaches a listener at.
    pub(super) fn url(&self, listener: &TcpListener) -> anyhow::Result<String> {
        Ok(format!("{}://{}", self.http.scheme(), specified(listener.local_addr()?)))
    }

    /// The tokens to show to others.
    pub(super) fn tokens(&self) -> watch::Receiver<Arc<Tokens>> {
        self.access.tokens()
    }

    /// Whom to trust among others.
    pub(super) fn ca_file(&self) -> &Path {
        &self.http.ca_file
    }

    /// Reads tokens again when their files change, and the certificate at SIGHUP, for ever.
    pub(super) async fn follow(self) {
        tokio::join!(self.access.follow(), follow(self.certificate));
    }
}

/// Without a certificate the signal keeps the meaning that it has for other programs.
async fn follow(certificate: Option<Certificate>) {
    let Some(certificate) = certificate else { return };
    let mut hang_ups: Signal = match signal(SignalKind::hangup()) {
        Ok(hang_ups) => hang_ups,
        Err(error) => return warn!(%error, "SIGHUP cannot be listened for"),
    };
    while hang_ups.recv().await.is_some() {
        match certificate.reload() {
            Ok(()) => info!("certificate read again"),
            Err(error) => {
                let error = format!("{error:#}");
                warn!(error, "certificate not read, the last one goes on to count");
            }
        }
    }
}
