//! Nothing but `handle` and `tick`, and no import of the contract. A message that is not empty ends in an error that repeats
//! the payload.

wit_bindgen::generate!({ path: "../../../wit", world: "service" });

struct Minimal;
export!(Minimal);

impl Guest for Minimal {
    fn handle(topic: String, payload: Vec<u8>) -> Result<(), String> {
        if payload.is_empty() {
            Ok(())
        } else {
            Err(format!("{topic}: {}", String::from_utf8_lossy(&payload)))
        }
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }
}
