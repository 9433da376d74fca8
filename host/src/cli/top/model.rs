//! State of the screen: the services with their rates, the order, the selection and the question that is asked. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use ratatui::termion::event::Key;
use serde_json::Value;

use crate::cli::admin::short_version;
use crate::control::Request;

/// A service as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The name.
    pub name: String,
    /// The status, with `off` for a service that is switched off, and `update waits` for one that waits for the command `update`.
    pub status: String,
    /// The beginning of the version's hash.
    pub version: String,
    /// Calls a second since the last snapshot.
    pub rate: Option<f64>,
    /// Failed calls since the host has started.
    pub failures: Option<u64>,
    /// The 99th percentile of the calls for messages, in microseconds.
    pub p99_us: Option<f64>,
    /// Messages that wait in memory and on disk.
    pub waiting: Option<u64>,
    /// Bytes of the guest's memory.
    pub memory: Option<u64>,
    /// Dead letters on disk.
    pub dead_letters: Option<u64>,
    /// Whether the service is switched on.
    pub is_enabled: bool,
}

/// Columns to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Order {
    /// By name.
    #[default]
    Name,
    /// The busiest first.
    Rate,
    /// Most failures first.
    Failures,
    /// The slowest first.
    P99,
    /// Most waiting messages first.
    Waiting,
    /// Most memory first.
    Memory,
}

impl Order {
    const ALL: [Self; 6] = [
        Self::Name,
        Self::Rate,
        Self::Failures,
        Self::P99,
        Self::Waiting,
        Self::Memory,
    ];

    /// The name of its column.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Name => "service",
            Self::Rate => "calls/s",
            Self::Failures => "failures",
            Self::P99 => "p99",
            Self::Waiting => "waiting",
            Self::Memory => "memory",
        }
    }

    fn next(self) -> Self {
        let place = Self::ALL.iter().position(|order| *order == self);
        Self::ALL[place.map_or(0, |place| (place + 1) % Self::ALL.len())]
    }
}

/// The consequence of a key.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing but another picture.
    None,
    /// The end.
    End,
    /// A command for the host.
    Send(Request),
}

/// A command that waits for `y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Restart the selected service?
    Restart,
    /// Switch the selected service on or off?
    Switch,
}

/// The state of the screen.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The host's own line: version, broker, connection.
    pub host: String,
    /// The services.
    services: Vec<Row>,
    /// Calls by service at the time of the last snapshot.
    calls: Option<(Instant, HashMap<String, u64>)>,
    /// The order of the services.
    pub order: Order,
    /// Text that the names have to contain.
    pub filter: String,
    /// Whether keys go into the filter.
    pub is_filtering: bool,
    /// The name of the selected service.
    selected: Option<String>,
    /// The question that is asked.
    pub question: Option<Question>,
    /// The last answer, or the reason why there is no snapshot.
    pub message: String,
}

impl Model {
    /// Takes over a snapshot.
    pub(super) fn on_snapshot(&mut self, host: &Value, at: Instant) {
        let broker = &host["broker"];
        let address = broker["address"].as_str().unwrap_or("-");
        let connection = match (&broker["connected"], broker["reason"].as_str()) {
            (Value::Bool(true), _) => "connected".to_owned(),
            (_, Some(reason)) => format!("not connected: {reason}"),
            _ => "not connected".to_owned(),
        };
        let version = host["version"].as_str().unwrap_or("-");
        self.host = format!("miqro-host {version}   broker {address}, {connection}");

        let (elapsed, before) = match self.calls.take() {
            Some((then, calls)) => (at.saturating_duration_since(then).as_secs_f64(), calls),
            None => (0.0, HashMap::new()),
        };
        let mut calls = HashMap::new();
        let services = host["services"].as_array().map_or(&[][..], Vec::as_slice);
        self.services = services
            .iter()
            .map(|service| {
                let mut row = row(service);
                if let Some(count) = calls_of(service) {
                    row.rate = before.get(&row.name).and_then(|before| {
                        // a service that began again counts from 0
                        let more = count.checked_sub(*before)?;
                        (elapsed > 0.0).then(|| more as f64 / elapsed)
                    });
                    calls.insert(row.name.clone(), count);
                }
                row
            })
            .collect();
        self.calls = Some((at, calls));
        if self.message.starts_with(NO_ANSWER) {
            self.message.clear();
        }
    }

    /// Notes that the host does not answer. The last figures stay.
    pub(super) fn on_no_answer(&mut self, reason: String) {
        self.message = format!("{NO_ANSWER}{reason}");
        self.calls = None;
    }

    /// Shows the answer to a command.
    pub(super) fn on_answer(&mut self, answer: String) {
        self.message = answer;
    }

    /// The services that are shown, in order.
    pub(super) fn rows(&self) -> Vec<&Row> {
        let fits = |row: &&Row| row.name.contains(&self.filter);
        let mut rows: Vec<&Row> = self.services.iter().filter(fits).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        match self.order {
            Order::Name => {}
            Order::Rate => rows.sort_by(|a, b| descending(a.rate, b.rate)),
            Order::P99 => rows.sort_by(|a, b| descending(a.p99_us, b.p99_us)),
            Order::Failures => rows.sort_by_key(|row| Reverse(row.failures)),
            Order::Waiting => rows.sort_by_key(|row| Reverse(row.waiting)),
            Order::Memory => rows.sort_by_key(|row| Reverse(row.memory)),
        }
        rows
    }

    /// The place of the selected service among those that are shown: the first one until another is chosen.
    pub(super) fn selected(&self) -> usize {
        let selected = self.selected.as_deref();
        let place = self
            .rows()
            .iter()
            .position(|row| Some(row.name.as_str()) == selected);
        place.unwrap_or(0)
    }

    /// Acts on a key.
    pub(super) fn on_key(&mut self, key: Key) -> Action {
        if key == Key::Ctrl('c') {
            return Action::End;
        }
        if let Some(question) = self.question.take() {
            return match key {
                Key::Char('y') => self.command(question),
                _ => Action::None,
            };
        }
        if self.is_filtering {
            self.edit_filter(key);
            return Action::None;
        }

        match key {
            Key::Char('q') | Key::Esc => return Action::End,
            Key::Down | Key::Char('j') => self.select(|place| place.saturating_add(1)),
            Key::Up | Key::Char('k') => self.select(|place| place.saturating_sub(1)),
            Key::Char('s') => self.order = self.order.next(),
            Key::Char('/') => self.is_filtering = true,
            Key::Char('r') => self.ask(Question::Restart),
            Key::Char('e') => self.ask(Question::Switch),
            _ => {}
        }
        Action::None
    }

    fn edit_filter(&mut self, key: Key) {
        match key {
            Key::Char('\n') => self.is_filtering = false,
            Key::Esc => {
                self.is_filtering = false;
                self.filter.clear();
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Char(character) => self.filter.push(character),
            _ => {}
        }
    }

    /// Selects another service. The question that follows is about this one, whatever the order becomes.
    fn select(&mut self, step: impl FnOnce(usize) -> usize) {
        let rows = self.rows();
        let place = step(self.selected()).min(rows.len().saturating_sub(1));
        let name = rows.get(place).map(|row| row.name.clone());
        self.selected = name;
    }

    fn ask(&mut self, question: Question) {
        // the service stays selected, although the rows may change their places
        self.select(|place| place);
        if self.selected.is_some() {
            self.question = Some(question);
        }
    }

    /// The question in words; `None` while there is none.
    pub(super) fn question_text(&self) -> Option<String> {
        let row = self.selected_row()?;
        let action = match (self.question?, row.is_enabled) {
            (Question::Restart, _) => "restart",
            (Question::Switch, true) => "switch off",
            (Question::Switch, false) => "switch on",
        };
        Some(format!(
            "{action} {}? y for yes, any other key for no",
            row.name
        ))
    }

    fn selected_row(&self) -> Option<&Row> {
        let selected = self.selected.as_deref()?;
        self.services.iter().find(|row| row.name == selected)
    }

    fn command(&self, question: Question) -> Action {
        let Some(row) = self.selected_row() else {
            return Action::None;
        };
        let service = row.name.clone();
        Action::Send(match (question, row.is_enabled) {
            (Question::Restart, _) => Request::Restart { service },
            (Question::Switch, true) => Request::Disable { service },
            (Question::Switch, false) => Request::Enable { service },
        })
    }
}

/// The beginning of the message while the host does not answer.
const NO_ANSWER: &str = "the host does not answer: ";

fn descending(a: Option<f64>, b: Option<f64>) -> std::cmp::Ordering {
    let or_less = |value: Option<f64>| value.unwrap_or(-1.0);
    or_less(b).total_cmp(&or_less(a))
}

/// Calls for messages and timers since the service began; `None` while it cannot be asked.
fn calls_of(service: &Value) -> Option<u64> {
    let activity = &service["activity"];
    let of = |kind: &str| activity[kind]["calls"].as_u64();
    Some(of("messages")? + of("timers")?)
}

fn row(service: &Value) -> Row {
    let activity = &service["activity"];
    let failures = ["messages", "timers", "other"]
        .iter()
        .map(|kind| activity[*kind]["failures"].as_u64())
        .sum();
    let waiting = ["waiting", "spooled"]
        .iter()
        .map(|place| activity[*place].as_u64())
        .sum();
    let is_enabled = activity["enabled"] != false;
    let status = match service["status"].as_str() {
        Some("running") if !is_enabled => "off",
        Some("running") if service["on_probation"] == true => "on probation",
        Some("running") if service["available"].is_object() => "update waits",
        Some(status) => status,
        None => "-",
    };

    Row {
        name: service["name"].as_str().unwrap_or_default().to_owned(),
        status: status.to_owned(),
        version: short_version(&service["version"]),
        rate: None,
        failures,
        p99_us: activity["messages"]["p99_us"].as_f64(),
        waiting,
        memory: activity["used"]["memory"].as_u64(),
        dead_letters: service["dead_letters"].as_u64(),
        is_enabled,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn service(name: &str, calls: u64, memory: u64) -> Value {
        let totals = |calls: u64| json!({"calls": calls, "failures": 0, "p99_us": 10.0});
        json!({
            "name": name, "status": "running", "version": null, "on_probation": false, "dead_letters": 0,
            "activity": {
                "messages": totals(calls), "timers": totals(0), "other": totals(0), "waiting": 1, "spooled": 2,
                "enabled": name != "off", "used": {"memory": memory},
            },
        })
    }

    fn host(services: &[Value]) -> Value {
        let broker = json!({"address": "localhost:1883", "connected": true, "reason": null});
        json!({"version": "1.0", "broker": broker, "services": services})
    }

    fn names(model: &Model) -> Vec<&str> {
        model.rows().iter().map(|row| row.name.as_str()).collect()
    }

    fn shown() -> Model {
        let mut model = Model::default();
        let start = Instant::now();
        model.on_snapshot(&host(&[service("b", 10, 5), service("a", 10, 9)]), start);
        let later = start + Duration::from_secs(2);
        model.on_snapshot(&host(&[service("b", 30, 5), service("a", 12, 9)]), later);
        model
    }

    #[test]
    fn rates_are_calls_between_two_snapshots() {
        let mut model = shown();
        let rates: Vec<_> = model.rows().iter().map(|row| row.rate).collect();
        assert_eq!(rates, [Some(1.0), Some(10.0)]);
        assert_eq!(model.rows()[0].waiting, Some(3));

        // a service that counts from 0 again has no rate, and neither has a new one
        let later = Instant::now() + Duration::from_secs(5);
        model.on_snapshot(&host(&[service("b", 1, 5), service("c", 1, 5)]), later);
        assert!(model.rows().iter().all(|row| row.rate.is_none()));
    }

    #[test]
    fn version_that_waits_is_in_the_status_of_a_running_service() {
        let mut one = service("a", 1, 1);
        one["available"] = json!({"version": "01", "since": "2026-01-01T00:00:00Z"});
        let mut model = Model::default();
        model.on_snapshot(&host(&[one.clone()]), Instant::now());
        assert_eq!(model.rows()[0].status, "update waits");

        one["status"] = "failed".into();
        model.on_snapshot(&host(&[one]), Instant::now());
        assert_eq!(model.rows()[0].status, "failed");
    }

    #[test]
    fn order_filter_and_selection_follow_the_keys() {
        let mut model = shown();
        assert_eq!(names(&model), ["a", "b"]);
        model.on_key(Key::Char('s'));
        assert_eq!((model.order, names(&model)), (Order::Rate, vec!["b", "a"]));

        model.on_key(Key::Down);
        assert_eq!(model.selected(), 1);
        model.order = Order::Name;
        assert_eq!(model.selected(), 0, "a stays selected in another order");
        model.on_key(Key::Up);
        assert_eq!(model.selected(), 0);

        for key in [Key::Char('/'), Key::Char('b'), Key::Char('\n')] {
            assert!(matches!(model.on_key(key), Action::None));
        }
        assert_eq!(names(&model), ["b"]);
        for key in [Key::Char('/'), Key::Backspace, Key::Char('q'), Key::Esc] {
            assert!(matches!(model.on_key(key), Action::None));
        }
        assert_eq!(names(&model), ["a", "b"]);
        assert!(matches!(model.on_key(Key::Char('q')), Action::End));
    }

    #[test]
    fn commands_are_sent_after_a_yes_only() {
        let mut model = shown();
        model.on_key(Key::Char('r'));
        assert!(model.question_text().unwrap().starts_with("restart a?"));
        assert!(matches!(model.on_key(Key::Char('n')), Action::None));
        assert_eq!(model.question_text(), None);

        model.on_key(Key::Char('r'));
        let Action::Send(Request::Restart { service: restarted }) = model.on_key(Key::Char('y'))
        else {
            panic!("no restart");
        };
        assert_eq!(restarted, "a");

        model.on_snapshot(&host(&[service("off", 1, 1)]), Instant::now());
        model.on_key(Key::Char('e'));
        assert!(model.question_text().unwrap().starts_with("switch on off?"));
        let sent = model.on_key(Key::Char('y'));
        assert!(
            matches!(sent, Action::Send(Request::Enable { .. })),
            "{sent:?}"
        );

        // a service that is gone meanwhile gets no command
        model.on_key(Key::Char('r'));
        model.on_snapshot(&host(&[]), Instant::now());
        assert!(matches!(model.on_key(Key::Char('y')), Action::None));
    }

    #[test]
    fn host_that_does_not_answer_is_told_until_it_does() {
        let mut model = shown();
        model.on_no_answer("no host runs".into());
        assert_eq!(model.message, "the host does not answer: no host runs");
        assert_eq!(names(&model), ["a", "b"], "the last figures stay");
        model.on_snapshot(&host(&[service("a", 1, 1)]), Instant::now());
        assert_eq!(model.message, "");
    }
}
