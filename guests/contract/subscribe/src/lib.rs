//! Subscribes on command: `{"subscribe": FILTER, "qos", "global"}` (`"plain": true`: without options) or `{"unsubscribe":
//! FILTER, "global"}` on `command`. It publishes `done` or `refused`, and every other message as `seen`.

use contract_kit::messaging::{self, SubscribeOptions};
use contract_kit::{Guest, Outcome, answer, command, json, publish, qos, subscribe, text};

struct Subscribe;
contract_kit::service!(Subscribe);

impl Guest for Subscribe {
    fn start() -> Outcome {
        subscribe("command")
    }

    fn handle(topic: String, payload: Vec<u8>) -> Outcome {
        if topic != "command" {
            let qos = messaging::current_message().map(|message| message.qos as u8);
            let seen =
                json!({ "topic": topic, "payload": String::from_utf8_lossy(&payload), "qos": qos });
            return publish("seen", seen.to_string());
        }

        let command = command(&payload)?;
        let global = command["global"] == true;
        if command["unsubscribe"].is_string() {
            return answer(messaging::unsubscribe(
                text(&command, "unsubscribe"),
                global,
            ));
        }

        let options = (command["plain"] != true).then(|| SubscribeOptions {
            qos: qos(&command),
            global,
        });
        answer(messaging::subscribe(text(&command, "subscribe"), options))
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}
