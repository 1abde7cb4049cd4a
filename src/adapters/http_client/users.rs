//! The port `UserDirectory` over the users service's HTTP interface.

use async_trait::async_trait;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, RequestBuilder, StatusCode};
use tokio::time::Instant;

use super::{OFFSET_HEADER, call, unexpected};
use crate::domain::ids::Offset;
use crate::ports::users::{Known, UserDirectory, UsersError};

/// Names whose form in a path is longer than this are asked for in a body: servers and proxies
/// bound the length of an address.
const LONGEST_SEGMENT: usize = 2_048;

/// The users service behind one address, which may be that of many instances.
pub struct HttpUsers {
    client: Client,
    url: String,
    origin: String,
}

impl HttpUsers {
    /// The users service at `url`, asked by the service whose own address is `origin`.
    #[must_use]
    pub fn new(client: Client, url: &str, origin: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { client, url, origin: origin.to_owned() }
    }

    fn request(&self, username: &str) -> RequestBuilder {
        let segment = utf8_percent_encode(username, NON_ALPHANUMERIC).to_string();
        // A client takes dots between slashes, encoded or not, as steps in the tree.
        if segment.len() > LONGEST_SEGMENT || username == "." || username == ".." {
            let body = serde_json::json!({ "username": username }).to_string();
            return self.client.post(format!("{}/api/v1/users:lookup", self.url)).body(body);
        }
        self.client.get(format!("{}/api/v1/users/{segment}", self.url))
    }
}

#[async_trait]
impl UserDirectory for HttpUsers {
    async fn look_up(
        &self,
        username: &str,
        at_least: Option<Offset>,
        deadline: Instant,
    ) -> Result<Known, UsersError> {
        let request = || {
            let request = self.request(username).header("Origin", &self.origin);
            match at_least {
                Some(offset) => request.header(OFFSET_HEADER, offset.to_string()),
                None => request,
            }
        };
        let answer = call(deadline, request).await;
        let answer = answer.map_err(|given_up| UsersError::Unavailable(given_up.cause))?;
        match answer.status {
            StatusCode::OK => Ok(Known { exists: true, offset: answer.offset }),
            StatusCode::NOT_FOUND => Ok(Known { exists: false, offset: answer.offset }),
            _ => Err(UsersError::Unexpected(unexpected(&answer))),
        }
    }
}
