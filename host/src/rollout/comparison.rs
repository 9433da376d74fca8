//! Comparison of a new version's publishes with those of the running version in the same calls. Pure.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::message::Message;
use crate::tap::MessageExcerpt;

/// Number of differences and faults that are described in detail.
const TOLD: usize = 3;

/// Bytes of a payload that are shown.
const SHOWN: usize = 40;

/// Differences and faults that are kept with the publishes of both versions.
const DIFFERENCES: usize = 20;

/// Publishes of one call that are kept.
const PUBLISHES: usize = 16;

/// Result of a shadow run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    calls: u64,
    agreed: u64,
    faults: u64,
    skipped: u64,
    /// The first differences, for the log.
    #[serde(skip)]
    told: Vec<String>,
    /// The last differences, the oldest first.
    differences: VecDeque<Difference>,
}

/// A call in which the versions differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Difference {
    /// The trigger.
    call: String,
    running: Vec<MessageExcerpt>,
    new: Vec<MessageExcerpt>,
    /// The fault of the new version.
    failure: Option<String>,
}

impl Comparison {
    /// Both versions were called for the same and ended well.
    pub fn compare(&mut self, what: &str, running: &[Message], new: &[Message]) {
        self.calls += 1;
        if running == new {
            self.agreed += 1;
        } else {
            self.keep(what, running, new, None);
            let running = list(running);
            let new = list(new);
            self.tell(format!(
                "for {what} the running version published {running}, the new one {new}"
            ));
        }
    }

    /// The new version failed where the running one ended well.
    pub fn failed(&mut self, what: &str, running: &[Message], fault: &str) {
        self.calls += 1;
        self.faults += 1;
        self.keep(what, running, &[], Some(fault.to_owned()));
        self.tell(format!("for {what} the new version failed: {fault}"));
    }

    /// So many calls in all were not compared, because the new version was too slow.
    pub fn record_skipped(&mut self, calls: u64) {
        self.skipped = calls;
    }

    fn keep(&mut self, call: &str, running: &[Message], new: &[Message], failure: Option<String>) {
        let excerpts =
            |messages: &[Message]| messages.iter().take(PUBLISHES).map(Into::into).collect();
        if self.differences.len() >= DIFFERENCES {
            self.differences.pop_front();
        }
        self.differences.push_back(Difference {
            call: call.to_owned(),
            running: excerpts(running),
            new: excerpts(new),
            failure,
        });
    }

    fn tell(&mut self, line: String) {
        if self.told.len() < TOLD {
            self.told.push(line);
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} calls agreed, {} faults",
            self.agreed, self.calls, self.faults
        )?;
        if self.skipped > 0 {
            write!(
                f,
                ", {} calls not compared because it was too slow",
                self.skipped
            )?;
        }

        self.told.iter().try_for_each(|line| write!(f, "; {line}"))
    }
}

/// Topic, payload, quality of service and whether it is retained, of each message in order.
fn list(messages: &[Message]) -> String {
    if messages.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = String::new();
    for message in messages.iter().take(TOLD) {
        let separator = if text.is_empty() { "" } else { ", " };
        let retained = if message.retain { ", retained" } else { "" };
        let payload = String::from_utf8_lossy(&message.payload[..message.payload.len().min(SHOWN)]);
        let more = if message.payload.len() > SHOWN {
            "..."
        } else {
            ""
        };
        // writing to a String cannot fail
        let _ = write!(
            text,
            "{separator}{} {payload:?}{more} (QoS {}{retained})",
            message.topic,
            u8::from(message.qos)
        );
    }

    if messages.len() > TOLD {
        let _ = write!(text, " and {} more", messages.len() - TOLD);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Qos;
    use crate::topic::Topic;

    fn message(payload: &str, retain: bool) -> Message {
        Message::new(
            Topic::new("a/b").unwrap(),
            payload.to_owned(),
            Qos::AtLeastOnce,
            retain,
        )
    }

    #[test]
    fn equal_runs_agree_and_first_differences_are_listed() {
        let mut comparison = Comparison::default();
        comparison.compare("x", &[message("1", false)], &[message("1", false)]);
        comparison.compare("x", &[message("1", false)], &[message("1", true)]);
        comparison.compare("y", &[message("1", false), message("2", false)], &[]);
        assert_eq!(
            comparison.to_string(),
            "1 of 3 calls agreed, 0 faults; for x the running version published a/b \"1\" (QoS 1), the new one a/b \"1\" \
             (QoS 1, retained); for y the running version published a/b \"1\" (QoS 1), a/b \"2\" (QoS 1), the new one nothing"
        );
    }

    #[test]
    fn faults_and_calls_that_were_skipped_are_counted() {
        let mut comparison = Comparison::default();
        for _ in 0..10 {
            comparison.failed("x", &[], "it broke");
        }
        comparison.record_skipped(2);
        let text = comparison.to_string();
        assert!(
            text.starts_with("0 of 10 calls agreed, 10 faults, 2 calls not compared"),
            "{text}"
        );
        assert_eq!(text.matches("it broke").count(), TOLD);
    }

    #[test]
    fn last_differences_are_kept_with_both_publishes() {
        let mut comparison = Comparison::default();
        let running = [message("1", false)];
        for number in 0..2 * DIFFERENCES {
            comparison.compare(&format!("call {number}"), &running, &[]);
        }
        comparison.failed("the last one", &running, "it broke");
        comparison.record_skipped(7);

        let shown = serde_json::to_value(&comparison).unwrap();
        assert_eq!(
            (&shown["calls"], &shown["faults"], &shown["skipped"]),
            (&41.into(), &1.into(), &7.into())
        );
        let differences = shown["differences"].as_array().unwrap();
        assert_eq!(differences.len(), DIFFERENCES);
        assert_eq!(differences[0]["call"], "call 21");
        let last = &differences[DIFFERENCES - 1];
        assert_eq!(last["running"][0]["payload"], "1");
        assert_eq!(
            (&last["new"], &last["failure"]),
            (&serde_json::json!([]), &"it broke".into())
        );
    }

    #[test]
    fn order_and_long_payloads() {
        let mut comparison = Comparison::default();
        let one = message(&"1".repeat(100), false);
        let two = message("2", false);
        comparison.compare("x", &[one.clone(), two.clone()], &[two, one]);
        let text = comparison.to_string();
        assert!(
            text.starts_with("0 of 1") && text.contains("...") && text.len() < 400,
            "{text}"
        );
    }
}
