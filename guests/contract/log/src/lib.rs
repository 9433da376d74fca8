//! Writes log lines on command: `{"level", "message", "fields": {..}, "stdout", "stderr", "fail"}` on `log`. It writes the line
//! and the texts for the standard streams, and publishes `done`, or ends in an error on `fail`.

use contract_kit::log::{self, Level};
use contract_kit::{Guest, Outcome, command, publish, subscribe, text};

struct Log;
contract_kit::service!(Log);

impl Guest for Log {
    fn start() -> Outcome {
        subscribe("log")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let command = command(&payload)?;
        let fields = command["fields"].as_object().into_iter().flatten();
        let fields: Vec<_> = fields
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().into()))
            .collect();
        if command["message"].is_string() {
            log::log(
                level(text(&command, "level"))?,
                text(&command, "message"),
                &fields,
            );
        }

        if command["stdout"].is_string() {
            println!("{}", text(&command, "stdout"));
        }
        if command["stderr"].is_string() {
            eprintln!("{}", text(&command, "stderr"));
        }
        if command["fail"] == true {
            Err("told to fail".into())
        } else {
            publish("done", "")
        }
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

fn level(name: &str) -> Result<Level, String> {
    Ok(match name {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warn" => Level::Warn,
        "error" => Level::Error,
        other => return Err(format!("no level {other}")),
    })
}
