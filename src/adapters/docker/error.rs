//! What the engine answers when it does not do as asked, and what to do about an engine that
//! cannot be reached.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

use anyhow::anyhow;
use docker_api::Error as ApiError;

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    /// It knows no such container, image, network or volume.
    #[error("{0}")]
    NotFound(String),
    /// Not in the state for it: the name is taken, it does not run, it is in use.
    #[error("{0}")]
    Conflict(String),
    /// It did not want to, or failed.
    #[error("the engine answers {code}: {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// Its own words.
        message: String,
    },
    /// It cannot be reached, or does not answer in time; the call may have had its effect.
    #[error("{0:#}")]
    Unavailable(anyhow::Error),
}

impl EngineError {
    /// An error of the client, from an engine at `host`.
    pub(super) fn new(error: ApiError, host: &str) -> Self {
        match error {
            ApiError::Fault { code, message } => match code.as_u16() {
                404 => Self::NotFound(message),
                304 | 409 => Self::Conflict(message),
                code => Self::Refused { code, message },
            },
            other => Self::Unavailable(advise(&other, host).unwrap_or_else(|| {
                anyhow!("Docker at {host} does not answer: {}", in_full(&other))
            })),
        }
    }

    /// The call took too long.
    pub(super) fn timed_out(host: &str, what: &str) -> Self {
        Self::Unavailable(anyhow!("Docker at {host} does not answer in time ({what})"))
    }

    /// One of the two does not accept the other's certificate.
    pub(super) fn distrust(host: &str, why: &str) -> Self {
        let text = format!(
            "Docker at {host} and this program do not trust each other ({why}): name the \
             certificates that belong to that engine with RIDESHARE_DOCKER__TLS_CA_FILE, \
             _TLS_CERT_FILE and _TLS_KEY_FILE"
        );
        Self::Unavailable(Advice { kind: ErrorKind::PermissionDenied, text }.into())
    }

    /// Whether waiting cannot help: there is no socket, or no permission to use it.
    pub(super) fn is_lasting(&self) -> bool {
        let Self::Unavailable(cause) = self else { return false };
        let advised = cause.downcast_ref::<Advice>();
        advised.is_some_and(|advice| {
            matches!(advice.kind, ErrorKind::NotFound | ErrorKind::PermissionDenied)
        })
    }
}

/// An engine that cannot be reached, in words that name the fix.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Advice {
    kind: ErrorKind,
    text: String,
}

fn advise(error: &ApiError, host: &str) -> Option<anyhow::Error> {
    let kind = io_kind(error)?;
    let text = match (kind, host.strip_prefix("unix://")) {
        (ErrorKind::NotFound, Some(path)) => format!(
            "there is no Docker socket at {path}: start Docker; in a container, mount the socket \
             (-v /var/run/docker.sock:{path}); or name another engine with RIDESHARE_DOCKER__HOST"
        ),
        (ErrorKind::PermissionDenied, Some(path)) => format!(
            "no permission to use the Docker socket {path}: add this user to the socket's group{}, \
             or name another engine with RIDESHARE_DOCKER__HOST",
            group_of(path)
        ),
        (ErrorKind::ConnectionRefused, Some(path)) => format!(
            "nobody answers at the Docker socket {path}: start Docker, or name another engine with \
             RIDESHARE_DOCKER__HOST"
        ),
        (ErrorKind::ConnectionRefused, None) => format!(
            "nobody answers at {host}: start Docker or the proxy before it, or name another engine \
             with RIDESHARE_DOCKER__HOST (unix:///var/run/docker.sock is the usual one)"
        ),
        _ => return None,
    };
    Some(Advice { kind, text }.into())
}

/// In a container the group has no name, only a number, which is what `--group-add` takes.
fn group_of(path: &str) -> String {
    std::fs::metadata(path).map_or_else(
        |_| String::new(),
        |socket| format!(" (in a container: --group-add {})", socket.gid()),
    )
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

fn in_full(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Errors that are transparent say the same as their cause.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
