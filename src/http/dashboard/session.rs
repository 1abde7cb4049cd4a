//! Who looks at the dashboard. A browser cannot be told to send a token with each request, so it is
//! given a cookie that holds it, which no script can read and no other site can make it send.

use actix_web::HttpRequest;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::web::Data;

use super::super::access::Guard;
use super::super::error::Problem;
use crate::domain::access::Right;

const COOKIE: &str = "rideshare_session";

/// What the one who asks may do; nothing without a token that counts.
pub(super) fn right(request: &HttpRequest) -> Option<Right> {
    let guard = request.app_data::<Data<Guard>>()?;
    let cookie = request.cookie(COOKIE);
    guard.right(cookie.as_ref().map(Cookie::value))
}

/// What a token gives.
pub(super) fn right_of(request: &HttpRequest, token: &str) -> Option<Right> {
    request.app_data::<Data<Guard>>()?.right(Some(token))
}

/// Whether anybody is asked who they are.
pub(super) fn is_open(request: &HttpRequest) -> bool {
    request.app_data::<Data<Guard>>().is_some_and(|guard| guard.right(None).is_some())
}

/// Keeps a token until the browser ends.
pub(super) fn begin(request: &HttpRequest, token: String) -> Cookie<'static> {
    let is_secure = request.app_config().secure();
    Cookie::build(COOKIE, token)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_secure)
        .finish()
}

/// Forgets it.
pub(super) fn end() -> Cookie<'static> {
    let mut cookie = Cookie::build(COOKIE, "").path("/").http_only(true).finish();
    cookie.make_removal();
    cookie
}

/// Refuses what another site has made a browser send.
///
/// # Errors
/// When the request does not say that it comes from a page of this server.
pub(super) fn check_origin(request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name)?.to_str().ok();
    let host = header(HOST.as_str()).unwrap_or_default();
    let origin = header(ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
    let is_own = match (header("sec-fetch-site"), origin) {
        (Some(site), _) => site == "same-origin",
        (None, Some((_, origin))) => !host.is_empty() && origin == host,
        (None, None) => false,
    };
    if is_own {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "only the dashboard itself may send this"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_a_page_of_this_server_may_send_forms() {
        let own = ("origin", "http://rides.example:8080");
        for (headers, is_own) in [
            (vec![], false),
            (vec![own], true),
            (vec![("origin", "http://evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "cross-site"), own], false),
            (vec![("sec-fetch-site", "none")], false),
        ] {
            let mut request = TestRequest::post().insert_header(("host", "rides.example:8080"));
            for header in &headers {
                request = request.append_header(*header);
            }
            assert_eq!(check_origin(&request.to_http_request()).is_ok(), is_own, "{headers:?}");
        }
    }
}
