//! Publishes its start, messages and stop: `started` and `stopped`, retained, and `worked`, each with the version. Messages
//! come on `work`. Its section may have `refuse_start` and `refuse_stop`, each a reason. A test overwrites the version in the
//! file to get another one.

use std::hint::black_box;

use contract_kit::{Guest, Outcome, publish, publish_retained, section, subscribe, text};

/// Eighteen bytes that stand in the file; a test replaces them by others of the same length.
static VERSION: &str = "version-0000000001";

struct Lifecycle;
contract_kit::service!(Lifecycle);

impl Guest for Lifecycle {
    fn start() -> Outcome {
        refused("refuse_start")?;
        subscribe("work")?;
        publish_retained("started", version())
    }

    fn handle(_topic: String, _payload: Vec<u8>) -> Outcome {
        publish("worked", version())
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        publish_retained("stopped", version())?;
        refused("refuse_stop")
    }
}

fn version() -> &'static str {
    black_box(VERSION)
}

/// The error that the section asks for in the key `name`.
fn refused(name: &str) -> Outcome {
    let section = section()?;
    if section[name].is_string() {
        Err(text(&section, name).to_owned())
    } else {
        Ok(())
    }
}
