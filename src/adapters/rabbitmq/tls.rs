//! Whom a connection over TLS trusts.

use std::path::Path;
use std::sync::Arc;

use amqprs::tls::TlsAdaptor;
use tokio_rustls::TlsConnector;

use crate::adapters::tls::trusting;

/// Trusts the authorities in this file, or the well-known ones.
///
/// The client's own reader takes a file without a certificate, and panics at one that is damaged.
pub(super) fn adaptor(server_name: &str, ca_file: Option<&Path>) -> anyhow::Result<TlsAdaptor> {
    let config = trusting(ca_file, "rabbitmq.ca_file")?;
    Ok(TlsAdaptor::new(TlsConnector::from(Arc::new(config)), server_name.to_owned()))
}
