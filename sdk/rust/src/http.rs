//! Outgoing HTTP.
//!
//! A request needs a grant of the host. It is sent at once and stays sent when the call fails later, so a method must not return an error
//! after a request that must not be sent twice. The service handles nothing else while it waits.
//!
//! ```
//! # use miqro_sdk::test::TestHost;
//! use miqro_sdk::prelude::*;
//!
//! # #[derive(Default)] struct Asks;
//! # #[service] impl Asks {
//! #[handle("ask")]
//! fn ask(&mut self, city: &str) -> Result {
//!     let url = miqro_sdk::http::Url::new("http://weather.example/now").query("city", city);
//!     let answer = miqro_sdk::http::get(url).timeout(Duration::from_secs(5)).send()?;
//!     publish("weather", answer.text()?)
//! }
//! # }
//! # let mut host = TestHost::<Asks>::start().unwrap();
//! host.answer_http(|request| {
//!     assert_eq!(request.url, "http://weather.example/now?city=St.%20Gallen");
//!     Ok((200, "fine".to_owned()))
//! });
//! host.send("ask", "St. Gallen").unwrap();
//! host.expect_next("weather", "fine");
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::{DecodeError, Error, Result};
use crate::{Decode, host};

/// How long each part of an exchange (connecting, the first byte, the next one) may take where nothing else is said.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// An address with a query, in which each value is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// An address, as in `http://192.168.1.1:80/cgi-bin/sms_list`.
    pub fn new(address: impl Into<String>) -> Self {
        Self(address.into())
    }

    /// Adds a name and a value to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        encode(&mut self.0, name);
        self.0.push('=');
        encode(&mut self.0, value);
        self
    }
}

impl From<&str> for Url {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

/// Percent-encoding of all but the unreserved characters (RFC 3986, section 2.3).
fn encode(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
}

/// Method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks for something.
    Get,
    /// Hands something over.
    Post,
}

/// A request in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nothing is requested before `send`"]
pub struct HttpRequest {
    /// Its method.
    pub method: Method,
    /// The address with its query.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// How long each part of the exchange may take.
    pub timeout: Duration,
}

/// A request that asks for something.
pub fn get(url: impl Into<Url>) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: url.into().0,
        headers: Vec::new(),
        body: Vec::new(),
        timeout: TIMEOUT,
    }
}

/// A request that hands something over.
pub fn post(url: impl Into<Url>) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        ..get(url)
    }
}

impl HttpRequest {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// How long each part of the exchange may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the request and waits for the response.
    ///
    /// # Errors
    ///
    /// When there is no response (no grant, no connection, no answer in time), or one whose status is not a success (2xx).
    pub fn send(&self) -> Result<HttpResponse> {
        // the query may hold a password, so it is not shown
        let place = self.url.split('?').next().unwrap_or_default();
        let response =
            host::http::send(self).map_err(|why| Error::new(format!("http: {place}: {why}")))?;
        match response.status {
            200..300 => Ok(response),
            status => Err(Error::new(format!("http: {place}: status {status}"))),
        }
    }
}

/// A response with a status of success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the body as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, DecodeError> {
        <&str>::decode(&self.body)
    }
}
