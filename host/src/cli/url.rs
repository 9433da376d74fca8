//! The URL of a broker, as other MQTT tools write it.

use crate::config::{Credentials, Transport};

/// Parts of a URL.
#[derive(Debug, PartialEq)]
pub(super) struct Url {
    pub host: String,
    pub port: Option<u16>,
    pub transport: Transport,
    pub credentials: Option<Credentials>,
}

/// Errors of URLs.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("expected mqtt://, mqtts://, ws:// or wss://")]
    Scheme,
    #[error("has no host name")]
    Host,
    #[error("expected a port, found {0:?}")]
    Port(String),
    #[error("has a path: only ws:// and wss:// may have one")]
    Path,
    #[error("expected percent-encoded UTF-8, found {0:?}")]
    Encoding(String),
}

/// Parses `scheme://[user[:password]@]host[:port][/path]`, with an IPv6 address in brackets.
pub(super) fn parse(text: &str) -> Result<Url, UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, address) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, address)| (Some(user), address));
    let (host, port) = split_port(address);
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        return Err(UrlError::Host);
    }

    let port = port
        .map(|port| port.parse().map_err(|_| UrlError::Port(port.to_owned())))
        .transpose()?;
    let credentials = user.map(credentials).transpose()?;

    Ok(Url {
        host: host.to_owned(),
        port,
        transport: transport(scheme, path)?,
        credentials,
    })
}

/// A colon inside brackets belongs to an IPv6 address.
fn split_port(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (address, None),
    }
}

fn transport(scheme: &str, path: &str) -> Result<Transport, UrlError> {
    let request = if path.len() > 1 { path } else { "/mqtt" };
    match scheme {
        "ws" => Ok(Transport::WebSocket(request.to_owned())),
        "wss" => Ok(Transport::SecureWebSocket(request.to_owned())),
        "mqtt" | "tcp" | "mqtts" | "ssl" | "tls" if path.len() > 1 => Err(UrlError::Path),
        "mqtt" | "tcp" => Ok(Transport::Tcp),
        "mqtts" | "ssl" | "tls" => Ok(Transport::Tls),
        _ => Err(UrlError::Scheme),
    }
}

fn credentials(user: &str) -> Result<Credentials, UrlError> {
    let (name, password) = user
        .split_once(':')
        .map_or((user, None), |(name, password)| (name, Some(password)));
    Ok(Credentials {
        username: decode(name)?,
        password: password.map(decode).transpose()?,
    })
}

/// Decodes `%40` and the like.
fn decode(text: &str) -> Result<String, UrlError> {
    let invalid = || UrlError::Encoding(text.to_owned());
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or_else(invalid)?;
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| invalid())?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn url(host: &str, port: Option<u16>, transport: Transport) -> Url {
        Url {
            host: host.to_owned(),
            port,
            transport,
            credentials: None,
        }
    }

    #[test]
    fn each_scheme_with_and_without_port_and_path() {
        assert_eq!(parse("mqtt://h"), Ok(url("h", None, Transport::Tcp)));
        assert_eq!(parse("mqtts://h:1/"), Ok(url("h", Some(1), Transport::Tls)));
        assert_eq!(
            parse("ws://[::1]:80"),
            Ok(url(
                "::1",
                Some(80),
                Transport::WebSocket("/mqtt".to_owned())
            ))
        );

        assert_eq!(
            parse("wss://[::1]/a/b"),
            Ok(url(
                "::1",
                None,
                Transport::SecureWebSocket("/a/b".to_owned())
            ))
        );
    }

    #[test]
    fn credentials_may_hold_anything_encoded() {
        let credentials = parse("mqtt://us%40er:p%3Aa%2f@h")
            .unwrap()
            .credentials
            .unwrap();
        assert_eq!(
            (
                credentials.username.as_str(),
                credentials.password.as_deref()
            ),
            ("us@er", Some("p:a/"))
        );

        assert_eq!(
            parse("mqtt://user@h")
                .unwrap()
                .credentials
                .unwrap()
                .password,
            None
        );
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(parse("h:1883"), Err(UrlError::Scheme));
        assert_eq!(parse("http://h"), Err(UrlError::Scheme));
        assert_eq!(parse("mqtt://:1"), Err(UrlError::Host));
        assert_eq!(parse("mqtt://h:x"), Err(UrlError::Port("x".to_owned())));
        assert_eq!(parse("mqtt://h/a"), Err(UrlError::Path));
        assert_eq!(
            parse("mqtt://%4@h"),
            Err(UrlError::Encoding("%4".to_owned()))
        );
        assert_eq!(
            parse("mqtt://%ff@h"),
            Err(UrlError::Encoding("%ff".to_owned()))
        );
    }
}
