//! An engine behind TLS, which lets in whom it knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rideshare::adapters::docker::TlsFiles;
use rideshare::domain::ids::NodeId;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::engine::Project;
use super::{Docker, is_exited};
use crate::containers::{ContainersFactory, listed, start};

const SOCKET: &str = "/var/run/docker.sock";

/// Somebody who signs certificates.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let issuer =
            CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// The files of one who is at this machine.
    fn sign(&self, name: &str) -> TlsFiles {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        parameters.subject_alt_names.push(SanType::IpAddress(here));
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let put = |what: &str, text: String| -> PathBuf {
            let path = self.folder.path().join(format!("{name}-{what}.pem"));
            std::fs::write(&path, text).unwrap();
            path
        };
        TlsFiles {
            ca: self.folder.path().join("ca.pem"),
            certificate: put("certificate", certificate.pem()),
            key: put("key", key.serialize_pem()),
        }
    }
}

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file).unwrap().map(Result::unwrap).collect()
}

/// The engine of this machine at a port, for clients of the same authority alone.
struct TlsEngine {
    address: SocketAddr,
    _connections: JoinSet<()>,
}

impl TlsEngine {
    async fn start(files: &TlsFiles) -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&files.ca));
        let known = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(known.build().unwrap())
            .with_single_cert(
                certificates(&files.certificate),
                PrivateKeyDer::from_pem_file(&files.key).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, acceptor));
        Self { address, _connections: connections }
    }

    fn host(&self) -> String {
        format!("tcp://{}", self.address)
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        connections.spawn(async move {
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let mut engine = UnixStream::connect(SOCKET).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut engine).await;
        });
    }
}

#[tokio::test]
async fn engine_behind_tls_is_worked_with_and_heard() {
    let authority = Authority::new("ours");
    let engine = TlsEngine::start(&authority.sign("engine")).await;
    let factory = Docker::with(|settings| {
        settings.host = engine.host();
        settings.tls = Some(authority.sign("client"));
    })
    .await;
    let node = NodeId::new("n1");
    let pid = start(&factory, &node).await;
    assert_eq!(factory.inspect("n1", "{{.State.Pid}}"), pid.to_string());
    super::engine::docker(&["kill", &factory.project.container("n1")]).unwrap();
    listed(&factory.containers(), &node, "exited", is_exited).await;
    factory.finish().await;
}

/// Opens a runtime on it and returns why that did not succeed.
async fn refusal(engine: &TlsEngine, files: TlsFiles) -> String {
    let project = Project::new();
    let settings = project.settings(|settings| {
        settings.host = engine.host();
        settings.tls = Some(files);
        settings.timeout = Duration::from_secs(2);
    });
    let opened = rideshare::adapters::docker::DockerContainers::open(settings).await;
    format!("{:#}", opened.err().expect("refused"))
}

#[tokio::test]
async fn strangers_do_not_come_together() {
    let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
    let engine = TlsEngine::start(&authority.sign("engine")).await;
    let unknown = TlsFiles { ca: authority.sign("x").ca, ..other.sign("client") };
    let untrusted = TlsFiles { ca: other.sign("x").ca, ..authority.sign("client") };
    for (files, why) in [(unknown, "UnknownCA"), (untrusted, "UnknownIssuer")] {
        let begun = Instant::now();
        let error = refusal(&engine, files).await;
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not tried again and again");
        assert!(error.contains(&engine.host()), "{error}");
        assert!(error.contains(why), "{error}");
    }
    let missing = TlsFiles { key: "/nowhere/key.pem".into(), ..authority.sign("client") };
    assert!(refusal(&engine, missing).await.contains("/nowhere/key.pem"));
}
