//! A guest of WASI messaging: replies to a message with its data, content type and metadata, and passes any other one on to the topic
//! in its metadata `to`.

wit_bindgen::generate!({ path: "../../../wit/peers", world: "wasi-messaging-guest", generate_all });

use exports::wasi::messaging::incoming_handler::Guest;
use wasi::messaging::types::{Client, Error, Message};
use wasi::messaging::{producer, request_reply};

struct Echo;
export!(Echo);

impl Guest for Echo {
    fn handle(message: Message) -> Result<(), Error> {
        let copy = Message::new(&message.data());
        if let Some(content_type) = message.content_type() {
            copy.set_content_type(&content_type);
        }
        let metadata = message.metadata().unwrap_or_default();
        let to = metadata
            .iter()
            .find(|(name, _)| name == "to")
            .map(|(_, value)| value.clone());
        copy.set_metadata(&metadata);
        copy.remove_metadata("to");
        copy.add_metadata("from", &message.topic().unwrap_or_default());

        match to {
            Some(topic) => producer::send(&Client::connect("any")?, &topic, copy),
            None => request_reply::reply(&message, copy),
        }
    }
}
