//! Decision whether a request may pass: its host, its origin, its token, and how often its sender has failed. Pure.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, Uri, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::failures::Failures;
use super::sessions::Sessions;
use crate::config::{Role, Web, WebToken, WebUser};

/// Beginning of the paths of streams: a page of another site must not even begin one, since each takes a place.
pub(super) const STREAMS: &str = "/api/v1/stream/";

/// The path of uploads. A page of another site cannot send their content type without being asked first, as with JSON.
pub(super) const UPLOAD: &str = "/api/v1/upload";

/// The cookie of a session. Browsers send it back only to this host, over a connection that nobody else can read.
pub(super) const COOKIE: &str = "__Host-miqro";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It asks for a host that is not ours: DNS rebinding, perhaps.
    #[error("expected a Host of this server, found another one; add it to web.hosts")]
    Host,
    /// Another site has sent it.
    #[error("expected a request of the same origin, found one of another site")]
    CrossSite,
    /// Its content is not JSON.
    #[error("expected content-type: application/json")]
    NotJson,
    /// Its content is not a component.
    #[error("expected content-type: application/wasm")]
    NotWasm,
    /// Its sender has failed too often.
    #[error("too many wrong tokens and passwords; try again later")]
    Throttled(Duration),
    /// Its token is missing or unknown.
    #[error("expected authorization: Bearer with a token of web.tokens, or a session")]
    Unauthorized,
    /// The token, or the name and the password, of its login are unknown.
    #[error("expected a token of web.tokens, or the name and the password of one of web.users")]
    WrongLogin,
    /// Its sender may not do it.
    #[error("expected a token or a user with role: operate")]
    Forbidden,
}

/// The head of a request.
pub(super) struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The address of the connection's other end.
    pub peer: IpAddr,
}

/// The sender of a request that may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    /// The name of its token or user; `None` without one.
    pub name: Option<String>,
    /// Its address.
    pub address: IpAddr,
    /// The actions that it may take.
    pub role: Role,
}

impl Client {
    /// Whether it may send commands.
    ///
    /// # Errors
    /// When it may only read.
    pub(super) fn may_operate(&self) -> Result<(), Refusal> {
        match (self.role, &self.name) {
            (Role::Operate, _) => Ok(()),
            (Role::Read, Some(_)) => Err(Refusal::Forbidden),
            (Role::Read, None) => Err(Refusal::Unauthorized),
        }
    }
}

/// The rules of one server, and the failures of its clients.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    tokens: Vec<WebToken>,
    users: Vec<WebUser>,
    behind_proxy: bool,
    failures: Failures,
    sessions: Sessions,
}

impl Guard {
    /// The rules of the configuration.
    pub(super) fn new(web: &Web) -> Self {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        if !web.listen.ip().is_unspecified() {
            hosts.push(web.listen.ip().to_string());
        }
        hosts.extend(web.hosts.iter().cloned());
        Self {
            hosts,
            tokens: web.tokens.clone(),
            users: web.users.clone(),
            behind_proxy: web.behind_proxy,
            failures: Failures::default(),
            sessions: Sessions::default(),
        }
    }

    /// Whether the request asks for this server. Everything else is decided after it.
    ///
    /// # Errors
    /// When its `Host` is missing, doubled or another one.
    pub(super) fn check_host(&self, head: &Head<'_>) -> Result<(), Refusal> {
        let mut written = head.headers.get_all(header::HOST).iter();
        let (Some(host), None) = (written.next(), written.next()) else {
            return Err(Refusal::Host);
        };
        let host = host.to_str().map_err(|_| Refusal::Host)?;
        let is_elsewhere = head
            .uri
            .authority()
            .is_some_and(|target| target.as_str() != host);
        if is_elsewhere || !self.is_ours(host) {
            return Err(Refusal::Host);
        }
        Ok(())
    }

    /// Whether a name with or without port is one of this server.
    fn is_ours(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<http::uri::Authority>() else {
            return false;
        };
        let name = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        !host.contains('@')
            && self
                .hosts
                .iter()
                .any(|ours| ours.eq_ignore_ascii_case(name))
    }

    /// Whether the request may pass, and its sender.
    ///
    /// # Errors
    /// When it comes from another site, is not JSON, has no or a wrong token, or its sender has to wait.
    pub(super) fn check(&mut self, head: &Head<'_>, now: Instant) -> Result<Client, Refusal> {
        self.check_host(head)?;
        if !head.method.is_safe() || head.uri.path().starts_with(STREAMS) {
            check_origin(head.headers)?;
        }
        if !head.method.is_safe() {
            check_content(head)?;
        }

        let address = self.address(head);
        let Some(written) = head.headers.get(header::AUTHORIZATION) else {
            return self.check_session(head, address, now);
        };
        let (scheme, token) = written
            .as_bytes()
            .split_at_checked("Bearer ".len())
            .unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Err(Refusal::Unauthorized);
        }
        self.check_token(token, address, now)
    }

    /// The holder of a token, unless its address has to wait.
    fn check_token(
        &mut self,
        token: &[u8],
        address: IpAddr,
        now: Instant,
    ) -> Result<Client, Refusal> {
        self.check_failures(address, now)?;
        let Some(token) = self.find(token) else {
            self.failures.note(address, now);
            return Err(Refusal::Unauthorized);
        };
        let client = Client {
            name: Some(token.name.clone()),
            address,
            role: token.role,
        };
        self.failures.forget(address);
        Ok(client)
    }

    /// The holder of a session, or anybody where everybody may read.
    fn check_session(
        &mut self,
        head: &Head<'_>,
        address: IpAddr,
        now: Instant,
    ) -> Result<Client, Refusal> {
        let known = session_id(head.headers).and_then(|id| self.sessions.find(id, now));
        if let Some((name, role)) = known {
            // a browser says where a request comes from, so one that does not is none of the page's
            let is_said =
                head.headers.contains_key(header::ORIGIN) || head.headers.contains_key(FETCH_SITE);
            if !head.method.is_safe() && !is_said {
                return Err(Refusal::CrossSite);
            }
            let name = Some(name);
            return Ok(Client {
                name,
                address,
                role,
            });
        }

        let is_open = self.tokens.is_empty() && self.users.is_empty() && !self.behind_proxy;
        if !is_open {
            return Err(Refusal::Unauthorized);
        }
        Ok(Client {
            name: None,
            address,
            role: Role::Read,
        })
    }

    /// Begins the session `id` for the holder of a token.
    ///
    /// # Errors
    /// When the token is unknown, or its address has to wait.
    pub(super) fn log_in(
        &mut self,
        address: IpAddr,
        token: &str,
        id: &str,
        now: Instant,
    ) -> Result<Client, Refusal> {
        let client = self
            .check_token(token.as_bytes(), address, now)
            .map_err(|refusal| match refusal {
                Refusal::Unauthorized => Refusal::WrongLogin,
                other => other,
            })?;
        self.begin_session(id, &client, now);

        Ok(client)
    }

    /// The user of a name, whose password the caller compares away from the lock: that takes long.
    ///
    /// # Errors
    /// When the address has to wait.
    pub(super) fn find_user(
        &self,
        address: IpAddr,
        name: &str,
        now: Instant,
    ) -> Result<Option<WebUser>, Refusal> {
        self.check_failures(address, now)?;
        Ok(self.users.iter().find(|user| user.name == name).cloned())
    }

    /// Begins the session `id` for a user whose password fits; `None`: the name or the password was wrong.
    ///
    /// # Errors
    /// When it was.
    pub(super) fn on_password(
        &mut self,
        address: IpAddr,
        user: Option<WebUser>,
        id: &str,
        now: Instant,
    ) -> Result<Client, Refusal> {
        let Some(user) = user else {
            self.failures.note(address, now);
            return Err(Refusal::WrongLogin);
        };
        self.failures.forget(address);
        let client = Client {
            name: Some(user.name),
            address,
            role: user.role,
        };
        self.begin_session(id, &client, now);

        Ok(client)
    }

    fn begin_session(&mut self, id: &str, client: &Client, now: Instant) {
        let name = client.name.clone().unwrap_or_default();
        self.sessions.begin(id, name, client.role, now);
    }

    /// Refuses an address that has to wait after failures.
    fn check_failures(&self, address: IpAddr, now: Instant) -> Result<(), Refusal> {
        match self.failures.wait(address, now) {
            Some(wait) => Err(Refusal::Throttled(wait)),
            None => Ok(()),
        }
    }

    /// Whether a request to log in may pass. Returns the address of its sender.
    ///
    /// # Errors
    /// When it comes from another site, or is not JSON.
    pub(super) fn check_login(&self, head: &Head<'_>) -> Result<IpAddr, Refusal> {
        self.check_host(head)?;
        check_origin(head.headers)?;
        check_content(head)?;
        Ok(self.address(head))
    }

    /// Ends the session of a request.
    pub(super) fn log_out(&mut self, headers: &HeaderMap) {
        if let Some(id) = session_id(headers) {
            self.sessions.end(id);
        }
    }

    /// The known token. Digests are compared, each in constant time, and always all of them.
    fn find(&self, token: &[u8]) -> Option<&WebToken> {
        let digest = Sha256::digest(token);
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.digest.as_slice().ct_eq(digest.as_slice())) {
                found = Some(known);
            }
        }
        found
    }

    /// The address of the client: behind a proxy the one that the proxy has added.
    fn address(&self, head: &Head<'_>) -> IpAddr {
        let forwarded = || {
            let last = head.headers.get_all(FORWARDED_FOR).iter().next_back()?;
            last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        };
        let forwarded = if self.behind_proxy { forwarded() } else { None };
        forwarded.unwrap_or(head.peer)
    }
}

/// The identifier of the session that the cookies name.
fn session_id(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut cookies = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Refuses a request that a page of another site has sent. Programs send neither header.
fn check_origin(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(site) = headers.get(FETCH_SITE)
        && site != "same-origin"
        && site != "none"
    {
        return Err(Refusal::CrossSite);
    }

    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let host = headers.get(header::HOST).map(|host| host.as_bytes());
    let own = ["http://", "https://"].iter().any(|scheme| {
        let rest = origin.as_bytes().strip_prefix(scheme.as_bytes());
        rest.is_some() && rest == host
    });
    if own { Ok(()) } else { Err(Refusal::CrossSite) }
}

/// Refuses content types that a form of another site can send.
fn check_content(head: &Head<'_>) -> Result<(), Refusal> {
    let (expected, refusal) = match head.uri.path() {
        UPLOAD => ("application/wasm", Refusal::NotWasm),
        _ => ("application/json", Refusal::NotJson),
    };
    let kind = head.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
    let is_expected = kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case(expected));
    is_expected.then_some(()).ok_or(refusal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::Ipv4Addr;

    use super::*;
    use crate::web::failures::{FIRST_WAIT, FREE_FAILURES, LONGEST_WAIT};

    const TOKEN: &str = "Bearer 0123456789abcdef";

    #[test]
    fn sessions_need_their_cookie_and_for_changes_an_origin() {
        let mut guard = operated();
        let now = Instant::now();
        let address = Ipv4Addr::LOCALHOST.into();
        let wrong = guard.log_in(address, "guess", "id", now);
        assert_eq!(wrong, Err(Refusal::WrongLogin));
        guard
            .log_in(address, "0123456789abcdef", "id", now)
            .unwrap();

        let host = ("host", "localhost:8180");
        let json = ("content-type", "application/json");
        let cookie = ("cookie", "other=1; __Host-miqro=id");
        let read = check_at(&mut guard, &Method::GET, &[host, cookie], now);
        assert_eq!(read.unwrap().role, Role::Operate);
        let silent = check_at(&mut guard, &Method::POST, &[host, json, cookie], now);
        assert_eq!(silent, Err(Refusal::CrossSite));
        let own = ("origin", "http://localhost:8180");
        let sent = check_at(&mut guard, &Method::POST, &[host, json, cookie, own], now);
        assert!(sent.is_ok());
        let foreign = ("origin", "http://evil.example");
        let sent = check_at(
            &mut guard,
            &Method::POST,
            &[host, json, cookie, foreign],
            now,
        );

        assert_eq!(sent, Err(Refusal::CrossSite));

        let guessed = ("cookie", "__Host-miqro=id2");
        let refused = check_at(&mut guard, &Method::GET, &[host, guessed], now);
        assert_eq!(refused, Err(Refusal::Unauthorized));
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, cookie.1.parse().unwrap());
        guard.log_out(&headers);
        let ended = check_at(&mut guard, &Method::GET, &[host, cookie], now);
        assert_eq!(ended, Err(Refusal::Unauthorized));
    }

    fn guard(tokens: &[(&str, Role)]) -> Guard {
        let tokens = tokens
            .iter()
            .map(|(token, role)| WebToken::new(format!("{role:?}"), *role, token));
        Guard::new(&Web {
            hosts: vec!["house.example".to_owned()],
            tokens: tokens.collect(),
            ..Web::default()
        })
    }

    #[test]
    fn wrong_passwords_count_as_wrong_tokens_do() {
        let anna = WebUser {
            name: "anna".to_owned(),
            role: Role::Operate,
            password: crate::password::PasswordHash::of("horse").unwrap(),
        };
        let mut guard = Guard::new(&Web {
            users: vec![anna],
            ..Web::default()
        });
        let (address, now) = (Ipv4Addr::LOCALHOST.into(), Instant::now());
        let host = ("host", "localhost:8180");
        let open = check_at(&mut guard, &Method::GET, &[host], now);
        assert_eq!(open, Err(Refusal::Unauthorized), "users alone close it");

        assert_eq!(guard.find_user(address, "otto", now), Ok(None));
        for _ in 0..FREE_FAILURES {
            assert!(guard.find_user(address, "anna", now).is_ok());
            let refused = guard.on_password(address, None, "id", now);
            assert_eq!(refused, Err(Refusal::WrongLogin));
        }
        let throttled = guard.find_user(address, "anna", now);
        assert_eq!(throttled, Err(Refusal::Throttled(FIRST_WAIT)));

        let later = now + FIRST_WAIT;
        let user = guard.find_user(address, "anna", later).unwrap();
        let client = guard.on_password(address, user, "id", later).unwrap();
        assert_eq!(
            (client.name.as_deref(), client.role),
            (Some("anna"), Role::Operate)
        );
        let cookie = ("cookie", "__Host-miqro=id");
        let read = check_at(&mut guard, &Method::GET, &[host, cookie], later);
        assert_eq!(read, Ok(client));
    }

    fn operated() -> Guard {
        guard(&[("0123456789abcdef", Role::Operate)])
    }

    fn check_at(
        guard: &mut Guard,
        method: &Method,
        headers: &[(&str, &str)],
        now: Instant,
    ) -> Result<Client, Refusal> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let head = Head {
            method,
            uri: &Uri::from_static("/api/v1/command"),
            headers: &map,
            peer: Ipv4Addr::LOCALHOST.into(),
        };

        guard.check(&head, now)
    }

    fn check(
        guard: &mut Guard,
        method: &Method,
        headers: &[(&str, &str)],
    ) -> Result<Client, Refusal> {
        check_at(guard, method, headers, Instant::now())
    }

    #[test]
    fn only_hosts_of_the_list_are_served() {
        let mut guard = guard(&[]);
        for host in [
            "localhost:8180",
            "LOCALHOST",
            "127.0.0.1:8180",
            "[::1]:8180",
            "house.example",
        ] {
            assert!(
                check(&mut guard, &Method::GET, &[("host", host)]).is_ok(),
                "{host}"
            );
        }

        for host in [
            "evil.example:8180",
            "localhost.evil.example",
            "a@localhost",
            "127.0.0.1.evil.example",
            "",
            "evil.example#localhost",
        ] {
            assert_eq!(
                check(&mut guard, &Method::GET, &[("host", host)]),
                Err(Refusal::Host),
                "{host}"
            );
        }

        assert_eq!(check(&mut guard, &Method::GET, &[]), Err(Refusal::Host));
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(check(&mut guard, &Method::GET, &twice), Err(Refusal::Host));
    }

    #[test]
    fn commands_of_other_sites_are_refused_even_with_a_token() {
        let base = [
            ("host", "localhost:8180"),
            ("authorization", TOKEN),
            ("content-type", "application/json"),
        ];
        let with = |further: &[(&str, &str)]| {
            let headers: Vec<_> = base.iter().chain(further).copied().collect();
            check(&mut operated(), &Method::POST, &headers)
        };
        assert!(with(&[]).is_ok());
        assert!(
            with(&[
                ("origin", "http://localhost:8180"),
                ("sec-fetch-site", "same-origin")
            ])
            .is_ok()
        );

        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:81",
            "localhost:8180",
            "http://localhost:8180.evil.example",
        ] {
            assert_eq!(
                with(&[("origin", origin)]),
                Err(Refusal::CrossSite),
                "{origin}"
            );
        }

        for site in ["cross-site", "same-site"] {
            assert_eq!(
                with(&[("sec-fetch-site", site)]),
                Err(Refusal::CrossSite),
                "{site}"
            );
        }
    }

    #[test]
    fn forms_and_plain_text_are_no_commands() {
        for kind in [
            "application/x-www-form-urlencoded",
            "text/plain",
            "multipart/form-data; a=application/json",
        ] {
            let headers = [
                ("host", "localhost"),
                ("authorization", TOKEN),
                ("content-type", kind),
            ];
            assert_eq!(
                check(&mut operated(), &Method::POST, &headers),
                Err(Refusal::NotJson),
                "{kind}"
            );
        }

        let none = [("host", "localhost"), ("authorization", TOKEN)];
        assert_eq!(
            check(&mut operated(), &Method::POST, &none),
            Err(Refusal::NotJson)
        );
    }

    #[test]
    fn roles_limit_clients() {
        let get = |guard: &mut Guard, token: Option<&str>| {
            let mut headers = vec![("host", "localhost")];
            headers.extend(token.map(|token| ("authorization", token)));
            check(guard, &Method::GET, &headers)
        };
        let anonymous = get(&mut guard(&[]), None).unwrap();
        assert_eq!(anonymous.may_operate(), Err(Refusal::Unauthorized));
        assert_eq!(get(&mut operated(), None), Err(Refusal::Unauthorized));
        assert_eq!(
            get(&mut operated(), Some("Basic 0123456789abcdef")),
            Err(Refusal::Unauthorized)
        );
        assert!(
            get(&mut operated(), Some(TOKEN))
                .unwrap()
                .may_operate()
                .is_ok()
        );

        let reader = get(&mut guard(&[("0123456789abcdef", Role::Read)]), Some(TOKEN)).unwrap();
        assert_eq!(reader.may_operate(), Err(Refusal::Forbidden));
    }

    #[test]
    fn guessing_gets_slower_and_does_not_fill_memory() {
        let mut guard = operated();
        let start = Instant::now();
        let wrong = [("host", "localhost"), ("authorization", "Bearer wrong")];
        let right = [("host", "localhost"), ("authorization", TOKEN)];
        for _ in 0..FREE_FAILURES {
            assert_eq!(
                check_at(&mut guard, &Method::GET, &wrong, start),
                Err(Refusal::Unauthorized)
            );
        }

        let throttled = check_at(&mut guard, &Method::GET, &right, start);
        assert_eq!(
            throttled,
            Err(Refusal::Throttled(FIRST_WAIT)),
            "also with the right token"
        );
        let later = start + FIRST_WAIT;
        assert_eq!(
            check_at(&mut guard, &Method::GET, &wrong, later),
            Err(Refusal::Unauthorized)
        );
        let throttled = check_at(&mut guard, &Method::GET, &wrong, later);
        assert_eq!(throttled, Err(Refusal::Throttled(FIRST_WAIT * 2)));
        assert!(check_at(&mut guard, &Method::GET, &right, later + LONGEST_WAIT).is_ok());
    }
}
