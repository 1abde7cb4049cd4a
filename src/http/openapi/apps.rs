//! The bodies of the users and rides services; these types only describe them.
#![expect(dead_code, reason = "describes bodies that are read and written elsewhere")]

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Done.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({}))]
pub(in crate::http) struct Nothing {}

/// A new user.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "username": "ann", "password": "3d725109c7e7c0bfb9d709836735b56d943d263f",
}))]
pub(in crate::http) struct NewUser {
    #[schema(min_length = 1)]
    username: String,
    /// A SHA-1 in hexadecimal; kept only as an argon2id hash of it.
    #[schema(pattern = "^[0-9a-fA-F]{40}$")]
    password: String,
}

/// A user, by name.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "username": "ann" }))]
pub(in crate::http) struct Username {
    #[schema(min_length = 1)]
    username: String,
}

/// A new ride.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({
    "created_by": "ann", "timestamp": "24-12-2031:00-30-18", "source": 21, "destination": 7,
}))]
pub(in crate::http) struct NewRide {
    #[schema(min_length = 1)]
    created_by: String,
    /// `DD-MM-YYYY:SS-MM-HH`.
    #[schema(pattern = "^[0-9]{2}-[0-9]{2}-[0-9]{4}:[0-9]{2}-[0-9]{2}-[0-9]{2}$")]
    timestamp: String,
    /// The number of a ward; as a string of digits, too.
    #[schema(minimum = 1, maximum = 198)]
    source: u16,
    #[schema(minimum = 1, maximum = 198)]
    destination: u16,
}

/// An upcoming ride.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "rideId": 1234, "username": "ann", "timestamp": "24-12-2031:00-30-18" }))]
pub(in crate::http) struct Offer {
    #[serde(rename = "rideId")]
    ride_id: i64,
    /// Who offers it.
    username: String,
    timestamp: String,
}

/// A ride.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "rideId": 1234, "created_by": "ann", "users": ["bob"], "timestamp": "24-12-2031:00-30-18",
    "source": 21, "destination": 7,
}))]
pub(in crate::http) struct Ride {
    #[serde(rename = "rideId")]
    ride_id: i64,
    created_by: String,
    /// Who has joined.
    users: Vec<String>,
    timestamp: String,
    source: i64,
    destination: i64,
}

/// From where to where.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Way {
    /// The number of a ward.
    #[param(minimum = 1, maximum = 198)]
    source: u16,
    #[param(minimum = 1, maximum = 198)]
    destination: u16,
}
