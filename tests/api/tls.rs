//! HTTP over TLS: for every service of a system, and with a certificate that is replaced.

use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use reqwest::tls::TlsInfo;
use rideshare::adapters::http_client;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{System, command, until};

/// Who signs, and where the files are that a server is given.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of this test");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file("ca.pem"), authority.issuer.pem()).unwrap();
        authority.issue();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a new certificate for a server on loopback, and returns it.
    fn issue(&self) -> Vec<u8> {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file("cert.pem"), certificate.pem()).unwrap();
        std::fs::write(self.file("key.pem"), key.serialize_pem()).unwrap();
        certificate.der().to_vec()
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let path = |name| self.file(name).to_str().unwrap().to_owned();
        vec![
            ("RIDESHARE_HTTP__TLS_CERT", path("cert.pem")),
            ("RIDESHARE_HTTP__TLS_KEY", path("key.pem")),
            ("RIDESHARE_HTTP__CA_FILE", path("ca.pem")),
        ]
    }
}

async fn start(authority: &Authority) -> System {
    let settings = authority.settings();
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    System::start_with(1, &settings).await
}

/// The certificate that a connection of its own is shown.
async fn shown(url: &str, ca: &Path) -> Vec<u8> {
    let client = http_client::builder(ca).unwrap().tls_info(true).build().unwrap();
    let answer = client.get(format!("{url}/healthz")).send().await.unwrap();
    let info = answer.extensions().get::<TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_speaks_tls_and_finds_the_others() {
    let authority = Authority::new();
    let system = start(&authority).await;
    for url in [&system.url, &system.users.url, &system.rides.url] {
        assert!(url.starts_with("https://"), "{url}");
        let port = url.rsplit(':').next().unwrap();
        let plain = http_client::client(Path::new("")).unwrap();
        let refused = plain.get(format!("{url}/healthz")).send().await.unwrap_err();
        assert!(format!("{refused:?}").contains("UnknownIssuer"), "{refused:?}");
        assert!(plain.get(format!("http://127.0.0.1:{port}/healthz")).send().await.is_err());
        let healthcheck = ["healthcheck", "--ready", "--port", port];
        let settings = authority.settings();
        let environment: Vec<_> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(command(&healthcheck, &environment), (Some(0), String::new()), "{url}");
    }
    // Rides asks users, and both ask the database.
    let user = json!({ "username": "ann", "password": "0".repeat(40) });
    let put = system.client.put(format!("{}/api/v1/users", system.users.url)).json(&user);
    assert_eq!(put.send().await.unwrap().status(), 201);
    let ride = json!({
        "created_by": "ann", "timestamp": "01-01-2999:00-00-00", "source": 1, "destination": 2,
    });
    let post = system.client.post(format!("{}/api/v1/rides", system.rides.url)).json(&ride);
    assert_eq!(post.send().await.unwrap().status(), 201);
    let ca = authority.file("ca.pem");
    let trust = [("RIDESHARE_HTTP__CA_FILE", ca.to_str().unwrap())];
    let (code, text) = command(&["ctl", "status", "--url", &system.url], &trust);
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_is_read_again_when_the_process_is_told_to() {
    let authority = Authority::new();
    let first = std::fs::read(authority.file("cert.pem")).unwrap();
    let system = start(&authority).await;
    let ca = authority.file("ca.pem");
    let before = shown(&system.url, &ca).await;

    // One that cannot be used changes nothing.
    std::fs::write(authority.file("cert.pem"), "no certificate").unwrap();
    hang_up(&system);
    until("the complaint", || async { system.log().contains("the last one goes on to count") })
        .await;
    assert_eq!(shown(&system.url, &ca).await, before);
    std::fs::write(authority.file("cert.pem"), first).unwrap();

    let issued = authority.issue();
    assert_eq!(shown(&system.url, &ca).await, before);
    hang_up(&system);
    for url in [&system.url, &system.users.url, &system.rides.url] {
        until("the new certificate", || async { shown(url, &ca).await == issued }).await;
    }
}

fn hang_up(system: &System) {
    let pid = system.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
}

#[test]
fn files_that_cannot_be_used_stop_the_start_by_name() {
    let authority = Authority::new();
    let cert = authority.file("cert.pem");
    let (cert, ca) = (cert.to_str().unwrap(), authority.file("ca.pem"));
    let alone = [("RIDESHARE_HTTP__TLS_CERT", cert)];
    let (code, text) = command(&["up", "--orchestrator-port", "0"], &alone);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("http.tls_key"), "{text}");
    let no_key =
        [("RIDESHARE_HTTP__TLS_CERT", cert), ("RIDESHARE_HTTP__TLS_KEY", ca.to_str().unwrap())];
    let (code, text) = command(&["up", "--orchestrator-port", "0"], &no_key);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("http.tls_key") && text.contains("ca.pem"), "{text}");
}
