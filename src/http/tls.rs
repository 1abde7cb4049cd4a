//! The certificate of a server, which may be replaced while it serves.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, ensure};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// A certificate with its key, from files; cheap to clone. All clones change together.
#[derive(Clone, Debug)]
pub struct Certificate {
    files: Arc<Files>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What the next connection is shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Reads both files: the chain with the server's own certificate first, and its key, in PEM.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold that, or the key is another certificate's.
    pub fn read(certificate: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let files = Files { certificate, key };
        let current = Arc::new(Current(RwLock::new(Arc::new(files.read(&provider)?))));
        Ok(Self { files: Arc::new(files), provider, current })
    }

    /// Reads both files again, for the connections that come from now on.
    ///
    /// # Errors
    /// As [`Certificate::read`]; then the one that was there before goes on to count.
    pub fn reload(&self) -> anyhow::Result<()> {
        let new = Arc::new(self.files.read(&self.provider)?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// How a server speaks TLS that shows it.
    pub(super) fn server_config(&self) -> anyhow::Result<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        Ok(config)
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Files {
    fn read(&self, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
        let chain = || format!("http.tls_cert {} cannot be used", self.certificate.display());
        let certificates: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect)
            .with_context(chain)?;
        ensure!(!certificates.is_empty(), "{}: it holds no certificate", chain());
        let key = || format!("http.tls_key {} cannot be used", self.key.display());
        let private = PrivateKeyDer::from_pem_file(&self.key).with_context(key)?;
        let pair = CertifiedKey::from_der(certificates, private, provider);
        pair.with_context(|| format!("{} with {}", key(), self.certificate.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};

    use super::*;

    fn write(folder: &Path) -> (PathBuf, PathBuf) {
        let Generated { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, cert.pem()).expect("written");
        std::fs::write(&key, signing_key.serialize_pem()).expect("written");
        (certificate, key)
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        let current = certificate.current.0.read().expect("whole");
        current.end_entity_cert().expect("there").to_vec()
    }

    #[test]
    fn what_cannot_be_used_is_named_and_replaces_nothing() {
        let folder = tempfile::tempdir().expect("folder");
        let (cert, key) = write(folder.path());
        let certificate = Certificate::read(cert.clone(), key.clone()).expect("a pair");
        let first = shown(&certificate);
        let other = std::fs::read(&key).expect("there");

        write(folder.path());
        certificate.reload().expect("a pair");
        let second = shown(&certificate);
        assert_ne!(first, second);

        std::fs::write(&key, other).expect("written");
        let error = format!("{:#}", certificate.reload().expect_err("another's key"));
        assert!(error.contains("http.tls_key") && error.contains("cert.pem"), "{error}");
        std::fs::write(&cert, "no certificate").expect("written");
        let error = format!("{:#}", certificate.reload().expect_err("no certificate"));
        assert!(error.contains("http.tls_cert"), "{error}");
        std::fs::remove_file(&cert).expect("removed");
        let error = format!("{:#}", Certificate::read(cert, key).expect_err("no file"));
        assert!(error.contains("http.tls_cert"), "{error}");
        assert_eq!(shown(&certificate), second);
    }
}
