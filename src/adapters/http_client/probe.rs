//! One request with no second attempt: is somebody there?

use std::time::Duration;

use reqwest::Client;
use tokio_rustls::rustls::crypto::ring;

/// The status and the body of a GET to a service of this machine. Over TLS it does not ask whose
/// certificate that is: it is reached under an address that the certificate need not name, and
/// learns nothing but that it is asked.
///
/// # Errors
/// When there is no whole answer within `limit`.
pub async fn probe(url: &str, limit: Duration) -> anyhow::Result<(u16, String)> {
    // The client asks for one that the whole process has in common; it is there at the second call.
    let _ = ring::default_provider().install_default();
    let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build()?;
    let response = client.get(url).timeout(limit).send().await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}
