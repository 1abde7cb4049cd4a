//! The broker's address: reads an AMQP URL and shows it without its password.
//!
//! Follows the AMQP URI specification of RabbitMQ; the client crate's own reader leaves percent
//! encoding in place. Queries are not taken: what they set has settings of its own.

use std::fmt;

use anyhow::{Context, bail, ensure};

/// Where the broker is and as whom to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) virtual_host: String,
    pub(super) user: String,
    pub(super) password: String,
}

impl Address {
    /// Reads `amqp://user:password@host:port/vhost`; all but scheme and host may be left out.
    ///
    /// # Errors
    /// Names what is wrong, never the URL itself: it may hold a password.
    pub(super) fn parse(url: &str) -> anyhow::Result<Self> {
        let (scheme, rest) = url.split_once("://").context("rabbitmq.url has no scheme")?;
        let tls = match scheme {
            "amqp" => false,
            "amqps" => true,
            _ => bail!("rabbitmq.url must start with amqp:// or amqps://"),
        };
        ensure!(!rest.contains(['?', '#']), "rabbitmq.url must not have a query");
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, "")))
        {
            Some((user, password)) => (decode(user)?, decode(password)?),
            None => ("guest".to_owned(), "guest".to_owned()),
        };
        let (host, port) = split_port(place, if tls { 5671 } else { 5672 })?;
        let virtual_host = match path {
            None | Some("") => "/".to_owned(),
            Some(path) => decode(path)?,
        };
        // The protocol carries it as a short string.
        ensure!(virtual_host.len() <= 255, "the virtual host of rabbitmq.url is too long");
        Ok(Self { tls, host: decode(host)?, port, virtual_host, user, password })
    }

    /// The host as a certificate names it: an IPv6 address without its brackets.
    pub(super) fn server_name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

fn split_port(place: &str, default: u16) -> anyhow::Result<(&str, u16)> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    ensure!(!host.is_empty(), "rabbitmq.url names no host");
    let port = port.map_or(Ok(default), str::parse).context("the port of rabbitmq.url")?;
    Ok((host, port))
}

fn decode(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.context("a % in rabbitmq.url is not followed by two hex digits")?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok().context("rabbitmq.url is not UTF-8")
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let Self { user, host, port, virtual_host, .. } = self;
        write!(formatter, "{scheme}://{user}@{host}:{port} {virtual_host}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> (bool, String, u16, String, String, String) {
        let address = Address::parse(url).unwrap();
        let Address { tls, host, port, virtual_host, user, password } = address;
        (tls, host, port, virtual_host, user, password)
    }

    #[test]
    fn urls_are_read_with_their_defaults() {
        let table = [
            ("amqp://h", (false, "h", 5672, "/", "guest", "guest")),
            ("amqps://h", (true, "h", 5671, "/", "guest", "guest")),
            ("amqp://u:p@h:7/v", (false, "h", 7, "v", "u", "p")),
            ("amqp://u:p%40%2f@h:7/", (false, "h", 7, "/", "u", "p@/")),
            ("amqps://u%61:p@[::1]:99/v%2fw", (true, "[::1]", 99, "v/w", "ua", "p")),
            ("amqp://[::1]", (false, "[::1]", 5672, "/", "guest", "guest")),
            ("amqp://u:a@b@h", (false, "h", 5672, "/", "u", "a@b")),
        ];
        for (url, (tls, host, port, vhost, user, password)) in table {
            let expected = (
                tls,
                host.to_owned(),
                port,
                vhost.to_owned(),
                user.to_owned(),
                password.to_owned(),
            );
            assert_eq!(parsed(url), expected, "{url}");
        }
        assert_eq!(Address::parse("amqps://[::1]").unwrap().server_name(), "::1");
    }

    #[test]
    fn errors_and_output_never_show_the_password() {
        for url in [
            "u:hidden@h",
            "http://u:hidden@h",
            "amqp://u:hidden@",
            "amqp://u:hidden@h:port",
            "amqp://u:hidden%zz@h",
            "amqp://u:hidden%é@h",
            "amqp://u:hidden%@h",
            "amqp://u:hidden@h/v?heartbeat=1",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
        }
        let address = Address::parse("amqp://u:hidden@h").unwrap();
        assert_eq!(format!("{address} {address:?}"), "amqp://u@h:5672 / amqp://u@h:5672 /");
    }
}
