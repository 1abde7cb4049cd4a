//! How many requests one client may send in a second.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse, ResponseError};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::time::{MissedTickBehavior, interval};

use super::error::Problem;

/// Those who watch a service are not to lose sight of it because somebody else is busy behind the
/// same address.
const UNCOUNTED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// How often clients are forgotten that have sent nothing for a while.
const FORGET_EVERY: Duration = Duration::from_secs(10);
/// One who has an IPv6 address has all that begin with these bits.
const IPV6_NETWORK_BITS: u32 = 64;

/// Refuses what one client sends beyond its share; cheap to clone.
#[derive(Clone)]
pub struct Pace {
    limiter: Option<Arc<DefaultKeyedRateLimiter<IpAddr>>>,
}

impl Pace {
    /// So many requests a second, and as many at once after a second of silence; 0 sets no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let quota = NonZeroU32::new(per_second).map(Quota::per_second);
        Self { limiter: quota.map(|quota| Arc::new(RateLimiter::keyed(quota))) }
    }

    /// Forgets clients that are not heard of any more, for ever.
    pub async fn forget(self) {
        let Some(limiter) = self.limiter else { return std::future::pending().await };
        let mut ticks = interval(FORGET_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }

    /// How long a client is to wait; nothing where it need not.
    fn excess(&self, request: &ServiceRequest) -> Option<Duration> {
        let limiter = self.limiter.as_ref()?;
        if UNCOUNTED.contains(&request.path()) {
            return None;
        }
        let client = client(request.peer_addr()?.ip());
        let refused = limiter.check_key(&client).err()?;
        Some(refused.wait_time_from(DefaultClock::default().now()))
    }
}

/// Who counts as one client.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() >> IPV6_NETWORK_BITS << IPV6_NETWORK_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address => address,
    }
}

/// Wraps a request; given to `actix_web::middleware::from_fn`.
pub(super) async fn pace<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let pace = request.app_data::<Data<Pace>>();
    match pace.and_then(|it| it.excess(&request)) {
        Some(wait) => Ok(request.into_response(refusal(wait)).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

fn refusal(wait: Duration) -> HttpResponse {
    let seconds = wait.as_secs() + 1;
    let detail = format!("this client sends too many requests; try again in {seconds} s");
    let mut response = Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).error_response();
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_is_one_client() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::"),
        ] {
            let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(client(parse(address)), parse(expected));
        }
    }
}
