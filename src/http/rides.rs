//! The rides service's routes.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload, Query, ServiceConfig};
use serde::Serialize;

use super::apps::{self, Answer, Common, deadline, done, nothing};
use super::error::Problem;
use super::extract;
use super::openapi::apps::{self as described, Nothing};
use super::openapi::database::{OffsetHeader, TimeoutHeader};
use super::openapi::{self, problems};
use super::render::at_offset;
use super::server::{methods, on};
use crate::domain::ids::Offset;
use crate::domain::request::InvalidRequest;
use crate::domain::rides::{Areas, NewRide, parse_ride_id, parse_username};
use crate::roles::rides::{Offer, Ride, Rides};

/// What the routes work with; cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The service.
    pub rides: Rides,
    /// Where rides may go from and to.
    pub areas: Arc<Areas>,
}

#[derive(Serialize)]
struct OfferBody<'a> {
    #[serde(rename = "rideId")]
    ride_id: i64,
    username: &'a str,
    timestamp: &'a str,
}

#[derive(Serialize)]
struct RideBody<'a> {
    #[serde(rename = "rideId")]
    ride_id: i64,
    created_by: &'a str,
    users: &'a [String],
    timestamp: &'a str,
    source: i64,
    destination: i64,
}

/// Adds the routes.
pub fn routes(state: State, common: Common, config: &mut ServiceConfig) {
    openapi::routes::<openapi::Rides>(config);
    apps::routes(common, config);
    config
        .app_data(Data::new(state))
        .service(methods(
            "/api/v1/rides",
            [on("GET", web::get().to(list)), on("POST", web::post().to(create))],
        ))
        .service(methods("/api/v1/rides/count", [on("GET", web::get().to(count))]))
        .service(methods(
            "/api/v1/rides/{rideId}",
            [
                on("GET", web::get().to(find)),
                on("POST", web::post().to(join)),
                on("DELETE", web::delete().to(delete)),
            ],
        ));
}

/// Offers a ride.
#[utoipa::path(
    post, path = "/api/v1/rides", tag = "rides",
    params(TimeoutHeader, OffsetHeader), request_body = described::NewRide,
    responses(
        (status = 201, description = "Offered.", body = Nothing),
        problems::Common, problems::WithBody,
    ),
)]
pub(super) async fn create(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let _place = common.enter()?;
    let ride = NewRide::parse(&common.body(payload).await?, &state.areas)?;
    Ok(done(StatusCode::CREATED, state.rides.create(ride, at_least, deadline).await?))
}

/// The upcoming rides on a way, by time.
#[utoipa::path(
    get, path = "/api/v1/rides", tag = "rides", params(described::Way, TimeoutHeader, OffsetHeader),
    responses(
        (status = 200, description = "Rides.", body = [described::Offer]),
        (status = 204, description = "There is none."),
        problems::Common,
    ),
)]
pub(super) async fn list(request: HttpRequest, state: Data<State>, common: Data<Common>) -> Answer {
    let query = Query::<HashMap<String, String>>::from_query(request.query_string());
    let query = query.map_err(|error| Problem::bad_request(error.to_string()))?;
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let area = |place: &str| match query.get(place) {
        Some(digits) => state.areas.find(place, digits),
        None => Err(InvalidRequest::new(place, "is missing")),
    };
    let (source, destination) = (area("source")?, area("destination")?);
    let _place = common.enter()?;
    let found = state.rides.upcoming(source, destination, at_least, deadline).await?;
    if found.answer.is_empty() {
        return Ok(nothing(found.offset));
    }
    let bodies: Vec<_> = found.answer.iter().map(offer_body).collect();
    Ok(at_offset(StatusCode::OK, found.offset, &bodies))
}

/// How many rides there are.
#[utoipa::path(
    get, path = "/api/v1/rides/count", tag = "rides", params(TimeoutHeader, OffsetHeader),
    responses(
        (status = 200, description = "One number.", body = [u64], example = json!([9])),
        problems::Common,
    ),
)]
pub(super) async fn count(
    request: HttpRequest,
    state: Data<State>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let _place = common.enter()?;
    let count = state.rides.count(at_least, deadline).await?;
    Ok(at_offset(StatusCode::OK, count.offset, &[count.answer]))
}

/// A ride.
#[utoipa::path(
    get, path = "/api/v1/rides/{rideId}", tag = "rides",
    params(("rideId" = i64, Path, description = "Its id."), TimeoutHeader, OffsetHeader),
    responses(
        (status = 200, description = "The ride.", body = described::Ride),
        (status = 204, description = "There is none of this id."),
        problems::Common,
    ),
)]
pub(super) async fn find(request: HttpRequest, state: Data<State>, common: Data<Common>) -> Answer {
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let Some(id) = ride_id(&request)? else { return Ok(nothing(Offset::default())) };
    let _place = common.enter()?;
    let found = state.rides.find(id, at_least, deadline).await?;
    match &found.answer {
        Some(ride) => Ok(at_offset(StatusCode::OK, found.offset, &ride_body(ride))),
        None => Ok(nothing(found.offset)),
    }
}

/// Joins a ride; twice changes nothing.
#[utoipa::path(
    post, path = "/api/v1/rides/{rideId}", tag = "rides",
    params(("rideId" = i64, Path, description = "Its id."), TimeoutHeader, OffsetHeader),
    request_body = described::Username,
    responses(
        (status = 200, description = "Joined.", body = Nothing),
        problems::Common, problems::WithBody,
    ),
)]
pub(super) async fn join(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let _place = common.enter()?;
    let username = parse_username(&common.body(payload).await?)?;
    let id = ride_id(&request)?.ok_or_else(no_such_ride)?;
    Ok(done(StatusCode::OK, state.rides.join(id, &username, at_least, deadline).await?))
}

/// Removes a ride.
#[utoipa::path(
    delete, path = "/api/v1/rides/{rideId}", tag = "rides",
    params(("rideId" = i64, Path, description = "Its id."), TimeoutHeader),
    responses((status = 200, description = "Removed.", body = Nothing), problems::Common),
)]
pub(super) async fn delete(
    request: HttpRequest,
    state: Data<State>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let id = ride_id(&request)?.ok_or_else(no_such_ride)?;
    let _place = common.enter()?;
    Ok(done(StatusCode::OK, state.rides.delete(id, deadline).await?))
}

/// The id in the path; `None` for a number that no ride can have.
fn ride_id(request: &HttpRequest) -> Result<Option<i64>, Problem> {
    let text = extract::last_segment(request.uri().path()).unwrap_or_default();
    Ok(parse_ride_id(&text)?)
}

fn no_such_ride() -> Problem {
    Problem::bad_request("there is no such ride")
}

fn offer_body(offer: &Offer) -> OfferBody<'_> {
    OfferBody { ride_id: offer.id, username: &offer.created_by, timestamp: &offer.timestamp }
}

fn ride_body(ride: &Ride) -> RideBody<'_> {
    RideBody {
        ride_id: ride.id,
        created_by: &ride.created_by,
        users: &ride.users,
        timestamp: &ride.timestamp,
        source: ride.source,
        destination: ride.destination,
    }
}
