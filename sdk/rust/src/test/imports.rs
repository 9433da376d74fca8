//! The imports of the contract, answered by the test kit as the real host would answer.

use crate::test::world::with;
use crate::topic;

/// `messaging` of the contract.
pub(crate) mod messaging {
    use super::{topic, with};
    use crate::bindings::messaging::{
        MessageInfo, MessagingError, PublishOptions, RequestError, RequestOptions, Response,
        SubscribeOptions,
    };
    use crate::messaging::qos_number;
    use crate::test::world::{Request, World};

    pub(crate) fn publish(
        topic: &str,
        payload: &[u8],
        options: Option<&PublishOptions>,
    ) -> Result<Option<u64>, MessagingError> {
        with(|world| {
            let full = world.full(topic, options.is_some_and(|options| options.global));
            check(
                world,
                &full,
                topic::is_topic(&full) && !topic.is_empty(),
                "publish",
            )?;

            Ok(world.publish(topic, payload, options))
        })
    }

    pub(crate) fn request(
        topic: &str,
        payload: &[u8],
        options: Option<&RequestOptions>,
    ) -> Result<Response, RequestError> {
        let request = Request {
            topic: topic.to_owned(),
            payload: payload.to_vec(),
            global: options.is_some_and(|options| options.global),
            timeout: std::time::Duration::from_millis(
                options.map_or(30_000, |options| options.deadline),
            ),
            properties: options.and_then(|options| options.properties.clone()),
        };

        // the answer is taken out while it runs, because it may look at the world
        let answer = with(|world| {
            let full = world.full(topic, request.global);
            check(world, &full, topic::is_topic(&full), "publish")
                .map_err(RequestError::Refused)?;
            world.requests.push(request.clone());
            Ok(world.answer.take())
        })?;

        let Some(mut answer) = answer else {
            return Err(RequestError::TimedOut);
        };
        let response = answer(&request);
        with(|world| {
            world.answer.get_or_insert(answer);
        });
        response
    }

    pub(crate) fn subscribe(
        filter: &str,
        options: Option<SubscribeOptions>,
    ) -> Result<(), MessagingError> {
        with(|world| {
            let full = world.full(filter, options.is_some_and(|options| options.global));
            check(world, &full, topic::is_filter(filter), "subscribe")?;
            world.effects.subscriptions.push((
                full,
                Some(options.map_or(1, |options| qos_number(options.qos))),
            ));
            Ok(())
        })
    }

    pub(crate) fn unsubscribe(filter: &str, global: bool) -> Result<(), MessagingError> {
        with(|world| {
            let full = world.full(filter, global);
            world.effects.subscriptions.push((full, None));
            Ok(())
        })
    }

    pub(crate) fn current_message() -> Option<MessageInfo> {
        with(|world| world.current.clone())
    }

    fn check(world: &World, full: &str, is_valid: bool, grant: &str) -> Result<(), MessagingError> {
        if !is_valid {
            return Err(MessagingError::InvalidTopic(full.to_owned()));
        }
        if world.is_granted(full) {
            return Ok(());
        }
        Err(MessagingError::Denied(format!(
            "{full} takes a grant: grants: {{{grant}: [{full}]}}"
        )))
    }
}

/// `timers` of the contract.
pub(crate) mod timers {
    use super::with;
    use crate::bindings::timers::{DueTimer, TimersError};
    use crate::test::timers::TimerChange;

    pub(crate) fn every(name: &str, period: u64, delay: u64) -> Result<(), TimersError> {
        if period == 0 {
            return Err(TimersError::Invalid(format!("{name} has a period of zero")));
        }
        set(name, delay, Some(period))
    }

    pub(crate) fn after(name: &str, delay: u64) -> Result<(), TimersError> {
        set(name, delay, None)
    }

    pub(crate) fn cancel(name: &str) {
        with(|world| {
            world
                .effects
                .timers
                .push(TimerChange::Cancel(name.to_owned()))
        });
    }

    pub(crate) fn remaining(name: &str) -> Option<u64> {
        with(|world| world.timers.remaining(name)).map(crate::messaging::milliseconds)
    }

    pub(crate) fn due() -> Vec<DueTimer> {
        with(|world| world.due.clone())
    }

    fn set(name: &str, delay: u64, period: Option<u64>) -> Result<(), TimersError> {
        if name.is_empty() {
            return Err(TimersError::Invalid("an empty name".to_owned()));
        }
        with(|world| {
            world.effects.timers.push(TimerChange::Set {
                name: name.to_owned(),
                delay,
                period,
            })
        });

        Ok(())
    }
}

/// `config` of the contract.
pub(crate) mod config {
    use super::with;
    use crate::bindings::config::Identity;

    pub(crate) fn get() -> String {
        with(|world| world.config.clone())
    }

    pub(crate) fn me() -> Identity {
        with(|world| world.identity.clone())
    }
}

/// `state` of the contract.
pub(crate) mod state {
    use super::with;
    use crate::bindings::state::StateError;

    const LONGEST_KEY: usize = 512;

    pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, StateError> {
        check(key)?;
        Ok(with(|world| match world.effects.state.get(key) {
            Some(changed) => changed.clone(),
            None => world.state.get(key).cloned(),
        }))
    }

    pub(crate) fn set(key: &str, value: &[u8]) -> Result<(), StateError> {
        check(key)?;
        with(|world| {
            world
                .effects
                .state
                .insert(key.to_owned(), Some(value.to_vec()))
        });

        Ok(())
    }

    pub(crate) fn delete(key: &str) -> Result<(), StateError> {
        check(key)?;
        with(|world| world.effects.state.insert(key.to_owned(), None));
        Ok(())
    }

    pub(crate) fn keys(prefix: &str) -> Result<Vec<String>, StateError> {
        Ok(with(|world| {
            let mut state = world.state.clone();
            for (key, value) in &world.effects.state {
                match value {
                    Some(value) => state.insert(key.clone(), value.clone()),
                    None => state.remove(key),
                };
            }

            state
                .into_keys()
                .filter(|key| key.starts_with(prefix))
                .collect()
        }))
    }

    fn check(key: &str) -> Result<(), StateError> {
        match key.len() {
            0 => Err(StateError::InvalidKey("an empty key".to_owned())),
            length if length > LONGEST_KEY => {
                Err(StateError::InvalidKey(format!("a key of {length} bytes")))
            }
            _ => Ok(()),
        }
    }
}

/// `log` of the contract.
pub(crate) mod log {
    use super::with;
    use crate::bindings::log::Level;
    use crate::test::world::LogLine;

    pub(crate) fn log(level: Level, message: &str, fields: &[(String, String)]) {
        let line = LogLine {
            level,
            message: message.to_owned(),
            fields: fields.to_vec(),
        };
        with(|world| world.log.push(line));
    }
}

/// Time and chance, both the test's.
pub(crate) mod clock {
    use std::time::Duration;

    use super::with;

    pub(crate) fn wall() -> Duration {
        with(|world| world.wall + world.timers.now())
    }

    pub(crate) fn monotonic() -> Duration {
        with(|world| world.timers.now())
    }

    pub(crate) fn random() -> u64 {
        with(|world| world.chance)
    }
}

/// HTTP, answered by the test.
pub(crate) mod http {
    use super::with;
    use crate::http::{HttpRequest, HttpResponse};

    pub(crate) fn send(request: &HttpRequest) -> Result<HttpResponse, String> {
        // the answer is taken out while it runs, because it may look at the world
        let answer = with(|world| {
            world.http_requests.push(request.clone());
            world.http_answer.take()
        });
        let Some(mut answer) = answer else {
            return Err("no connection".to_owned());
        };
        let response = answer(request);
        with(|world| {
            world.http_answer.get_or_insert(answer);
        });
        response.map(|(status, body)| HttpResponse {
            status,
            body: body.into_bytes(),
        })
    }
}
