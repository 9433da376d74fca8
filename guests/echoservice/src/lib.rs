//! The echo service of mqttservice's README: it answers `echoservice/echo` with a JSON object on `echoservice/reply`.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct EchoService;

#[service]
impl EchoService {
    #[handle("echoservice/echo")]
    fn echo(&mut self) -> Result {
        publish(
            "echoservice/reply",
            json!({ "some": "payload", "will": "be serialized", "to": "JSON from dict" }),
        )
    }
}
