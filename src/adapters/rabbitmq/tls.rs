//! Whom a connection over TLS trusts.

use std::path::Path;
use std::sync::Arc;

use amqprs::tls::TlsAdaptor;
use anyhow::{Context, ensure};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Trusts the authorities in this file, or the well-known ones.
///
/// The client's own reader takes a file without a certificate, and panics at one that is damaged.
pub(super) fn adaptor(server_name: &str, ca_file: Option<&Path>) -> anyhow::Result<TlsAdaptor> {
    let Some(path) = ca_file else {
        return Ok(TlsAdaptor::without_client_auth(None, server_name.to_owned())?);
    };
    let roots = roots(path)
        .with_context(|| format!("rabbitmq.ca_file {} cannot be used", path.display()))?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsAdaptor::new(TlsConnector::from(Arc::new(config)), server_name.to_owned()))
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    ensure!(!roots.is_empty(), "it holds no certificate");
    Ok(roots)
}
