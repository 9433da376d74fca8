//! `wasi:messaging`: a client is the session of the host, whatever its name; metadata are user properties.

use wasmtime::component::Resource;

use crate::guest::bindings::miqro::service::messaging::{MessagingError, Qos, RequestError};
use crate::guest::store::StoreData;

use super::bindings::wasi::messaging::types::{self, Error, Metadata};
use super::bindings::wasi::messaging::{producer, request_reply};
use super::outgoing::{messaging_text, request_text};
use super::resources::{Client, PeerMessage, RequestOptions};

impl From<MessagingError> for Error {
    fn from(error: MessagingError) -> Self {
        match error {
            MessagingError::Denied(text) => Self::PermissionDenied(text),
            other => Self::Other(messaging_text(other)),
        }
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(error) => error.into(),
            RequestError::TimedOut => Self::Timeout,
            RequestError::Unavailable(_) => Self::Connection(request_text(error)),
        }
    }
}

impl types::Host for StoreData {}

impl types::HostClient for StoreData {
    fn connect(&mut self, _name: String) -> wasmtime::Result<Result<Resource<Client>, Error>> {
        Ok(Ok(self.resources().push(Client)?))
    }

    fn disconnect(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<(), Error>> {
        self.resources().get(&client)?;
        Ok(Ok(()))
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.resources().delete(client)?;
        Ok(())
    }
}

impl types::HostMessage for StoreData {
    fn new(&mut self, data: Vec<u8>) -> wasmtime::Result<Resource<PeerMessage>> {
        let message = PeerMessage {
            data,
            ..PeerMessage::default()
        };
        Ok(self.resources().push(message)?)
    }

    fn topic(&mut self, message: Resource<PeerMessage>) -> wasmtime::Result<Option<String>> {
        Ok(self.resources().get(&message)?.topic.clone())
    }

    fn content_type(&mut self, message: Resource<PeerMessage>) -> wasmtime::Result<Option<String>> {
        Ok(self.resources().get(&message)?.content_type.clone())
    }

    fn set_content_type(
        &mut self,
        message: Resource<PeerMessage>,
        content_type: String,
    ) -> wasmtime::Result<()> {
        self.resources().get_mut(&message)?.content_type = Some(content_type);
        Ok(())
    }

    fn data(&mut self, message: Resource<PeerMessage>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.resources().get(&message)?.data.clone())
    }

    fn set_data(&mut self, message: Resource<PeerMessage>, data: Vec<u8>) -> wasmtime::Result<()> {
        self.resources().get_mut(&message)?.data = data;
        Ok(())
    }

    fn metadata(&mut self, message: Resource<PeerMessage>) -> wasmtime::Result<Option<Metadata>> {
        Ok(self.resources().get(&message)?.metadata.clone())
    }

    fn add_metadata(
        &mut self,
        message: Resource<PeerMessage>,
        key: String,
        value: String,
    ) -> wasmtime::Result<()> {
        let message = self.resources().get_mut(&message)?;
        message.metadata.get_or_insert_default().push((key, value));
        Ok(())
    }

    fn set_metadata(
        &mut self,
        message: Resource<PeerMessage>,
        metadata: Metadata,
    ) -> wasmtime::Result<()> {
        self.resources().get_mut(&message)?.metadata = Some(metadata);
        Ok(())
    }

    fn remove_metadata(
        &mut self,
        message: Resource<PeerMessage>,
        key: String,
    ) -> wasmtime::Result<()> {
        let message = self.resources().get_mut(&message)?;
        if let Some(metadata) = &mut message.metadata {
            metadata.retain(|(name, _)| *name != key);
        }
        Ok(())
    }

    fn drop(&mut self, message: Resource<PeerMessage>) -> wasmtime::Result<()> {
        self.resources().delete(message)?;
        Ok(())
    }
}

impl producer::Host for StoreData {
    fn send(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<PeerMessage>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.resources().get(&client)?;
        let message = self.resources().delete(message)?;
        let properties = message.properties();
        let sent = self.publish_of_peer(topic, message.data, Qos::AtLeastOnce, properties);
        Ok(sent.map_err(Into::into))
    }
}

impl request_reply::Host for StoreData {
    async fn request(
        &mut self,
        client: Resource<Client>,
        topic: String,
        message: Resource<PeerMessage>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Vec<Resource<PeerMessage>>, Error>> {
        self.resources().get(&client)?;
        let options = options.map(|options| self.resources().delete(options));
        let options = options.transpose()?.unwrap_or_default();
        if options.replies > 1 {
            let text = "expected one reply to a request, as many as a requester gets over MQTT";
            return Ok(Err(Error::Other(text.to_owned())));
        }

        let message = self.resources().get(&message)?;
        let properties = message.properties();
        let data = message.data.clone();
        let answer = self
            .request_of_peer(topic, data, options.deadline, Some(properties))
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error.into())),
        };
        let (content_type, metadata) = match answer.properties {
            Some(properties) => (properties.content_type, Some(properties.user_properties)),
            None => (None, None),
        };
        let reply = PeerMessage {
            content_type,
            metadata,
            data: answer.payload,
            ..PeerMessage::default()
        };

        Ok(Ok(vec![self.resources().push(reply)?]))
    }

    fn reply(
        &mut self,
        reply_to: Resource<PeerMessage>,
        message: Resource<PeerMessage>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let topic = self.resources().get(&reply_to)?.response_topic.clone();
        let message = self.resources().delete(message)?;
        let Some(topic) = topic else {
            let text = "the message has no response topic, so there is nobody to reply to";
            return Ok(Err(Error::Other(text.to_owned())));
        };
        let properties = message.properties();
        let sent = self.publish_of_peer(topic, message.data, Qos::AtLeastOnce, properties);
        Ok(sent.map_err(Into::into))
    }
}

impl request_reply::HostRequestOptions for StoreData {
    fn new(&mut self) -> wasmtime::Result<Resource<RequestOptions>> {
        Ok(self.resources().push(RequestOptions::default())?)
    }

    fn set_timeout_ms(
        &mut self,
        options: Resource<RequestOptions>,
        timeout_ms: u32,
    ) -> wasmtime::Result<()> {
        self.resources().get_mut(&options)?.deadline = timeout_ms.into();
        Ok(())
    }

    fn set_expected_replies(
        &mut self,
        options: Resource<RequestOptions>,
        replies: u32,
    ) -> wasmtime::Result<()> {
        self.resources().get_mut(&options)?.replies = replies;
        Ok(())
    }

    fn drop(&mut self, options: Resource<RequestOptions>) -> wasmtime::Result<()> {
        self.resources().delete(options)?;
        Ok(())
    }
}
