//! A way to an engine behind TLS: a socket of this process that leads there.
//!
//! The client that the adapter is built on has TLS through OpenSSL alone, which this program does
//! without. So it is given a socket in a folder that only this user can open, like the engine's
//! own, and every connection to that goes on through TLS, with the certificate that says who asks.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};
use tracing::{Instrument, info_span, warn};
use uuid::Uuid;

/// How long a connection may take to be there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What Docker calls `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Who may have signed the engine's certificate.
    pub ca: PathBuf,
    /// The certificate of this client.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why a connection did not last.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// In words.
    pub(super) text: String,
    /// One side does not accept the other's certificate: another try cannot help.
    pub(super) is_distrust: bool,
}

impl Failure {
    fn new(error: &anyhow::Error) -> Self {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let is_distrust = matches!(
            inner.and_then(|inner| inner.downcast_ref()),
            Some(TlsError::InvalidCertificate(_) | TlsError::AlertReceived(_))
        );
        Self { text: format!("{error:#}"), is_distrust }
    }
}

/// The socket; gone when dropped.
pub(super) struct Tunnel {
    folder: PathBuf,
    far_end: Arc<FarEnd>,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// Leads to `HOST:PORT`. Nothing is connected yet.
    pub(super) fn open(address: &str, files: &TlsFiles) -> anyhow::Result<Self> {
        let far_end = Arc::new(FarEnd::new(address, files)?);
        let folder = std::env::temp_dir().join(format!("rideshare-{}", Uuid::now_v7().simple()));
        let named =
            || format!("the way to the engine needs a folder of its own, {}", folder.display());
        DirBuilder::new().mode(0o700).create(&folder).with_context(named)?;
        let listener = UnixListener::bind(socket(&folder)).with_context(named)?;
        let accept = accept(listener, Arc::clone(&far_end));
        let task = tokio::spawn(accept.instrument(info_span!("docker_tls")));
        Ok(Self { folder, far_end, task })
    }

    /// Why the last connection failed, if it did.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.far_end.failure().clone()
    }

    /// The engine's address for whoever speaks no TLS.
    pub(super) fn host(&self) -> String {
        format!("unix://{}", socket(&self.folder).display())
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

async fn accept(listener: UnixListener, far_end: Arc<FarEnd>) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => {
                tokio::spawn(lead(near, Arc::clone(&far_end)).in_current_span());
            }
            Err(error) => {
                warn!(%error, "connection not taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Who is not let in is told so only with the first answer, by TLS 1.3.
async fn lead(mut near: UnixStream, far_end: Arc<FarEnd>) {
    let led = async {
        let mut far = far_end.connect().await?;
        copy_bidirectional(&mut near, &mut far).await?;
        anyhow::Ok(())
    };
    *far_end.failure() = led.await.err().as_ref().map(Failure::new);
}

/// The engine, with all that it takes to be let in.
struct FarEnd {
    address: String,
    name: ServerName<'static>,
    connector: TlsConnector,
    failure: Mutex<Option<Failure>>,
}

impl FarEnd {
    fn new(address: &str, files: &TlsFiles) -> anyhow::Result<Self> {
        let Some((host, _)) = address.rsplit_once(':') else { bail!("{address} names no port") };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .with_context(|| format!("{host} is no name that a certificate could have"))?;
        let config = config(files).context("the files of docker.tls_…")?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { address: address.to_owned(), name, connector, failure: Mutex::default() })
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let connected = async {
            let stream = TcpStream::connect(&self.address).await?;
            self.connector.connect(self.name.clone(), stream).await
        };
        let connected = timeout(CONNECT_LIMIT, connected);
        Ok(connected.await.context("no answer in time")??)
    }
}

fn config(files: &TlsFiles) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.ca)? {
        roots.add(authority).with_context(|| in_file(&files.ca))?;
    }
    let own = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).with_context(|| in_file(&files.key))?;
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_client_auth_cert(own, key)?)
}

fn certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(file).with_context(|| in_file(file))?;
    let all: Vec<_> = all.collect::<Result<_, _>>().with_context(|| in_file(file))?;
    if all.is_empty() {
        bail!("{} holds no certificate", file.display());
    }
    Ok(all)
}

fn in_file(file: &Path) -> String {
    file.display().to_string()
}
