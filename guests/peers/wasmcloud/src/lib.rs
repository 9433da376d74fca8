//! A guest of wasmCloud: answers a message at the subject in its `reply-to`, and counts messages in a bucket. For a message `ask:`, it
//! first requests an answer at the subject `ask`. A message `fail` is refused after it was counted.

wit_bindgen::generate!({ path: "../../../wit/peers", world: "wasmcloud-guest", generate_all });

use exports::wasmcloud::messaging::handler::Guest;
use wasi::config0_2_0_draft::store as config;
use wasi::keyvalue0_2_0_draft::store as keyvalue;
use wasi::logging::logging::{Level, log};
use wasmcloud::messaging::consumer;
use wasmcloud::messaging::types::BrokerMessage;

struct Echo;
export!(Echo);

impl Guest for Echo {
    fn handle_message(message: BrokerMessage) -> Result<(), String> {
        let count = count().map_err(|error| format!("{error:?}"))?;
        if message.body == b"fail" {
            return Err(format!("refused, {count}"));
        }
        let Some(reply_to) = message.reply_to else {
            log(Level::Warn, "echo", "no reply_to");
            return Ok(());
        };

        let body = match message.body.strip_prefix(b"ask:") {
            Some(question) => {
                consumer::request(&message.subject.replace("in", "ask"), question, 5_000)?.body
            }
            None => message.body,
        };

        let greeting = config::get("greeting").map_err(|error| format!("{error:?}"))?;
        let greeting = greeting.unwrap_or_default();
        let text = format!("{greeting} {count} {}", String::from_utf8_lossy(&body));
        consumer::publish(&BrokerMessage {
            subject: reply_to,
            body: text.into_bytes(),
            reply_to: None,
        })
    }
}

/// Counts the messages in a bucket.
fn count() -> Result<u64, keyvalue::Error> {
    let bucket = keyvalue::open("counters")?;
    let before = bucket.get("messages")?.unwrap_or_default();
    let count = String::from_utf8_lossy(&before)
        .parse::<u64>()
        .unwrap_or_default()
        + 1;
    bucket.set("messages", count.to_string().as_bytes())?;
    if !bucket.exists("messages")? || bucket.list_keys(None)?.keys != ["messages"] {
        return Err(keyvalue::Error::Other("the key is not there".to_owned()));
    }
    Ok(count)
}
