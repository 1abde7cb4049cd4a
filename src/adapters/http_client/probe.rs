//! One request with no second attempt: is somebody there?

use std::time::Duration;

/// The status and the body of a GET.
///
/// # Errors
/// When there is no whole answer within `limit`.
pub async fn probe(url: &str, limit: Duration) -> anyhow::Result<(u16, String)> {
    let response = super::client()?.get(url).timeout(limit).send().await?;
    let status = response.status().as_u16();
    Ok((status, response.text().await?))
}
