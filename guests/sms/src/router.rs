//! The router's interface: commands with parameters, and the credentials, which it expects in the query.

use miqro_sdk::http::{self, Url};
use miqro_sdk::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Router {
    #[serde(default = "host")]
    host: String,
    #[serde(default = "port")]
    port: u16,
    username: String,
    password: String,
    #[serde(default = "timeout")]
    timeout: Span,
}

fn host() -> String {
    "192.168.1.1".to_owned()
}

fn port() -> u16 {
    80
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

impl Router {
    /// Runs a command of the router, such as `sms_send`.
    pub fn ask(&self, command: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let url = Url::new(format!(
            "http://{}:{}/cgi-bin/{command}",
            self.host, self.port
        ))
        .query("username", &self.username)
        .query("password", &self.password);
        let url = parameters
            .iter()
            .fold(url, |url, (name, value)| url.query(name, value));
        let answer = http::get(url).timeout(self.timeout.0).send()?;
        // one foreign character must not hide all messages
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}
