//! The users service's routes.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use serde_json::json;

use super::apps::{self, Answer, Common, deadline, done, nothing};
use super::error::Problem;
use super::extract;
use super::openapi::apps::{self as described, Nothing};
use super::openapi::database::{OffsetHeader, TimeoutHeader};
use super::openapi::{self, problems};
use super::render::at_offset;
use super::server::{methods, on};
use crate::domain::rides::{NewUser, parse_username};
use crate::roles::users::Users;

/// Adds the routes.
pub fn routes(users: Users, common: Common, config: &mut ServiceConfig) {
    openapi::routes::<openapi::Users>(config);
    apps::routes(common, config);
    config
        .app_data(Data::new(users))
        .service(methods(
            "/api/v1/users",
            [on("GET", web::get().to(list)), on("PUT", web::put().to(create))],
        ))
        .service(methods("/api/v1/users:lookup", [on("POST", web::post().to(look_up))]))
        .service(methods("/api/v1/users:delete", [on("POST", web::post().to(delete_named))]))
        .service(methods(
            "/api/v1/users/{username}",
            [on("GET", web::get().to(find)), on("DELETE", web::delete().to(delete))],
        ));
}

/// Adds a user.
#[utoipa::path(
    put, path = "/api/v1/users", tag = "users",
    params(TimeoutHeader), request_body = described::NewUser,
    responses(
        (status = 201, description = "Added.", body = Nothing),
        problems::Common, problems::WithBody,
    ),
)]
pub(super) async fn create(
    request: HttpRequest,
    payload: Payload,
    users: Data<Users>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let _place = common.enter()?;
    let user = NewUser::parse(&common.body(payload).await?)?;
    Ok(done(StatusCode::CREATED, users.create(user, deadline).await?))
}

/// The names of all users.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", params(TimeoutHeader, OffsetHeader),
    responses(
        (status = 200, description = "Names.", body = [String], example = json!(["ann", "bob"])),
        (status = 204, description = "There is none."),
        problems::Common,
    ),
)]
pub(super) async fn list(request: HttpRequest, users: Data<Users>, common: Data<Common>) -> Answer {
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let _place = common.enter()?;
    let names = users.list(at_least, deadline).await?;
    if names.answer.is_empty() {
        return Ok(nothing(names.offset));
    }
    Ok(at_offset(StatusCode::OK, names.offset, &names.answer))
}

/// Whether there is a user of this name.
#[utoipa::path(
    get, path = "/api/v1/users/{username}", tag = "users",
    params(("username" = String, Path, description = "The name."), TimeoutHeader, OffsetHeader),
    responses(
        (status = 200, description = "There is.", body = described::Username),
        (
            status = 404, description = "There is not.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common,
    ),
)]
pub(super) async fn find(request: HttpRequest, users: Data<Users>, common: Data<Common>) -> Answer {
    let Some(username) = extract::last_segment(request.uri().path()) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such user"));
    };
    answer_whether(&username, &request, &users, &common).await
}

/// Whether there is a user of this name, for names that do not fit into a path.
#[utoipa::path(
    post, path = "/api/v1/users:lookup", tag = "users",
    params(TimeoutHeader, OffsetHeader), request_body = described::Username,
    responses(
        (status = 200, description = "There is.", body = described::Username),
        (
            status = 404, description = "There is not.",
            body = problems::Problem, content_type = "application/problem+json",
        ),
        problems::Common, problems::WithBody,
    ),
)]
pub(super) async fn look_up(
    request: HttpRequest,
    payload: Payload,
    users: Data<Users>,
    common: Data<Common>,
) -> Answer {
    let username = parse_username(&common.body(payload).await?)?;
    answer_whether(&username, &request, &users, &common).await
}

pub(super) async fn answer_whether(
    username: &str,
    request: &HttpRequest,
    users: &Users,
    common: &Common,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let at_least = extract::offset(request.headers())?;
    let _place = common.enter()?;
    let found = users.exists(username, at_least, deadline).await?;
    if found.answer {
        return Ok(at_offset(StatusCode::OK, found.offset, &json!({ "username": username })));
    }
    let problem = Problem::new(StatusCode::NOT_FOUND, "there is no such user");
    Err(problem.at(found.offset))
}

/// Removes a user.
#[utoipa::path(
    delete, path = "/api/v1/users/{username}", tag = "users",
    params(("username" = String, Path, description = "The name."), TimeoutHeader),
    responses((status = 200, description = "Removed.", body = Nothing), problems::Common),
)]
pub(super) async fn delete(
    request: HttpRequest,
    users: Data<Users>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let Some(username) = extract::last_segment(request.uri().path()) else {
        return Err(Problem::bad_request("there is no such user"));
    };
    let _place = common.enter()?;
    Ok(done(StatusCode::OK, users.delete(&username, deadline).await?))
}

/// Removes a user, for names that do not fit into a path.
#[utoipa::path(
    post, path = "/api/v1/users:delete", tag = "users",
    params(TimeoutHeader), request_body = described::Username,
    responses(
        (status = 200, description = "Removed.", body = Nothing),
        problems::Common, problems::WithBody,
    ),
)]
pub(super) async fn delete_named(
    request: HttpRequest,
    payload: Payload,
    users: Data<Users>,
    common: Data<Common>,
) -> Answer {
    let deadline = deadline(request.headers())?;
    let _place = common.enter()?;
    let username = parse_username(&common.body(payload).await?)?;
    Ok(done(StatusCode::OK, users.delete(&username, deadline).await?))
}
