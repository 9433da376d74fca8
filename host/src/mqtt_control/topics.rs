//! The topics of a host: `miqro/<host id>/...`. The host id is the client identifier, without wildcards.

use crate::topic::{Filter, Topic, TopicError};

/// The topics of a host.
#[derive(Debug, Clone)]
pub struct Topics {
    /// `miqro/<host id>/`
    prefix: String,
    /// Whether the host is there: `1` or `0`, which is also its will.
    pub online: Topic,
    /// Version, services and commands.
    pub info: Topic,
    /// Figures of the host.
    pub health: Topic,
    /// The filter of requests.
    pub requests: Filter,
    /// The filter of `info`, by which the host learns of its earlier run.
    pub(super) former_info: Filter,
}

impl Topics {
    /// The topics of the host with this client identifier.
    ///
    /// # Errors
    /// When the identifier leaves no room for a topic.
    pub fn new(client_id: &str) -> Result<Self, TopicError> {
        let prefix = format!("miqro/{}/", client_id.replace(['+', '#'], "-"));
        let topic = |rest: &str| Topic::new(format!("{prefix}{rest}"));
        Ok(Self {
            online: topic("online")?,
            info: topic("info")?,
            health: topic("health")?,
            requests: Filter::new(&format!("{prefix}request/#"))?,
            former_info: Filter::new(&format!("{prefix}info"))?,
            prefix,
        })
    }

    /// The host id.
    pub(super) fn host_id(&self) -> &str {
        let id = self.prefix.trim_end_matches('/');
        id.strip_prefix("miqro/").unwrap_or(id)
    }

    /// The topic of requests for a command; without one, the payload has it.
    pub(super) fn request(&self, command: Option<&str>) -> String {
        match command {
            Some(command) => format!("{}request/{command}", self.prefix),
            None => format!("{}request", self.prefix),
        }
    }

    /// The topic of a service's state; `None` when the name is too long for a topic.
    pub(super) fn service(&self, name: &str) -> Option<Topic> {
        Topic::new(format!("{}services/{name}", self.prefix)).ok()
    }

    /// The command in the topic of a request. `Some(None)`: there is none, so that the payload has it. `None`: no topic of a request.
    pub(super) fn command_of<'a>(&self, topic: &'a Topic) -> Option<Option<&'a str>> {
        let rest = topic
            .as_str()
            .strip_prefix(&self.prefix)?
            .strip_prefix("request")?;
        match rest.strip_prefix('/') {
            Some(command) => Some(Some(command)),
            None => rest.is_empty().then_some(None),
        }
    }

    /// The topic of answers to requests that name none; `None` when the command is too long for a topic.
    pub(super) fn response(&self, command: &str) -> Option<Topic> {
        Topic::new(format!("{}response/{command}", self.prefix)).ok()
    }

    /// Whether answers may go to the response topic of a request. Those of the broker and of the host itself are not for answers.
    pub(super) fn allows_answers_on(&self, topic: &Topic) -> bool {
        let text = topic.as_str();
        let own = text.strip_prefix(&self.prefix);
        Topic::new(text).is_ok()
            && !text.starts_with('$')
            && own.is_none_or(|rest| rest.starts_with("response/"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn wildcards_of_the_client_identifier_are_replaced() {
        let topics = Topics::new("a+b#").unwrap();
        assert_eq!(topics.online.as_str(), "miqro/a-b-/online");
        assert_eq!(topics.requests.as_str(), "miqro/a-b-/request/#");
        assert_eq!(topics.host_id(), "a-b-");
        assert!(Topics::new(&"a".repeat(65_530)).is_err());
    }

    #[test]
    fn command_is_the_rest_of_the_topic() {
        let topics = Topics::new("host").unwrap();
        let command = |text: &str| {
            let topic = Topic::from_received(text.to_owned()).unwrap();
            topics
                .command_of(&topic)
                .map(|command| command.map(str::to_owned))
        };

        assert_eq!(command("miqro/host/request"), Some(None));
        assert_eq!(
            command("miqro/host/request/restart"),
            Some(Some("restart".to_owned()))
        );
        assert_eq!(
            command("miqro/host/request/a/b"),
            Some(Some("a/b".to_owned()))
        );
        assert_eq!(command("miqro/host/requests"), None);
        assert_eq!(command("miqro/other/request/restart"), None);
    }

    #[test]
    fn answers_go_neither_to_the_broker_nor_to_the_host() {
        let topics = Topics::new("host").unwrap();
        let allowed = |text: &str| {
            let topic = Topic::from_received(text.to_owned()).unwrap();
            topics.allows_answers_on(&topic)
        };
        assert!(allowed("client/7/answers") && allowed("miqro/host/response/mine"));
        assert!(!allowed("$SYS/broker") && !allowed("miqro/host/info"));
        assert!(!allowed("miqro/host/request/restart") && !allowed("a\u{1}b"));
    }
}
