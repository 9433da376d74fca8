//! Setup of a service under test: its name, section, grants, remembered state, and the answers that it gets.

use std::marker::PhantomData;
use std::result::Result as StdResult;
use std::time::Duration;

use serde::Serialize;

use crate::bindings::messaging::RequestError;
use crate::error::Result;
use crate::finite::Finite;
use crate::http::HttpRequest;
use crate::request::Response;
use crate::service::Service;
use crate::test::host::TestHost;
use crate::test::world::{Request, World, with};

/// The world in which a service under test starts; see [`TestHost::setup`].
#[must_use = "the service runs after `start`"]
pub struct Setup<S> {
    world: World,
    service: PhantomData<S>,
}

impl<S: Service> Setup<S> {
    pub(super) fn new() -> Self {
        Self {
            world: World::default(),
            service: PhantomData,
        }
    }

    /// The service's name, and `service/<name>/` as its base topic; `test` where it has no other.
    pub fn name(mut self, name: &str) -> Self {
        self.world.identity.name = name.to_owned();
        self.base_topic(&format!("service/{name}"))
    }

    /// Another base topic; the slash at the end is added where it is missing.
    pub fn base_topic(mut self, topic: &str) -> Self {
        self.world.identity.base_topic = format!("{}/", topic.trim_end_matches('/'));
        self
    }

    /// Sets the topic prefix for announcements to Home Assistant; `homeassistant` by default.
    pub fn discovery_prefix(mut self, prefix: &str) -> Self {
        self.world.identity.discovery_prefix = prefix.to_owned();
        self
    }

    /// The service's section.
    pub fn config(mut self, section: serde_json::Value) -> Self {
        self.world.config = section.to_string();
        self
    }

    /// Topics outside of the base topic that the service may use.
    pub fn grant(mut self, filter: &str) -> Self {
        self.world.grants.push(filter.to_owned());
        self
    }

    /// A value that the service has kept from an earlier time.
    ///
    /// # Errors
    ///
    /// When the value cannot be JSON.
    pub fn state<T: Serialize>(mut self, key: &str, value: &T) -> Result<Self> {
        self.world
            .state
            .insert(key.to_owned(), serde_json::to_vec(&Finite(value))?);
        Ok(self)
    }

    /// The time on the wall, since 1970; the first day of 2026 where it is not set.
    pub fn wall(mut self, time: Duration) -> Self {
        self.world.wall = time;
        self
    }

    /// Sets the number that replaces every random one (for jitter), modulo the requested range; 0 by default.
    pub fn chance(mut self, number: u64) -> Self {
        self.world.chance = number;
        self
    }

    /// Answers the requests that the service makes. Without it, they time out.
    pub fn answer(
        mut self,
        answer: impl FnMut(&Request) -> StdResult<Response, RequestError> + 'static,
    ) -> Self {
        self.world.answer_requests(answer);
        self
    }

    /// Answers the HTTP requests that the service makes, with a status and a body, or says why there is no answer. Without it, there is
    /// no connection.
    pub fn answer_http(
        mut self,
        answer: impl FnMut(&HttpRequest) -> StdResult<(u16, String), String> + 'static,
    ) -> Self {
        self.world.http_answer = Some(Box::new(answer));
        self
    }

    /// Starts the service, tells it that it is connected, and runs the loops that are due at once, as the host does.
    ///
    /// # Errors
    ///
    /// Those of the service's `start`, of `connected` and of these loops.
    pub fn start(self) -> StdResult<TestHost<S>, String> {
        with(|world| *world = self.world);
        TestHost::begin()
    }
}
