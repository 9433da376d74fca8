//! Reads the router's list of messages.

use std::time::Duration;

use serde::Serialize;

/// One message, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    pub index: String,
    pub date: String,
    pub sender: String,
    pub text: String,
    pub status: String,
}

/// Reads the list: five named lines for each message, and a line of dashes. A text may have several lines.
pub fn read(list: &str) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut current: Option<Text> = None;
    for line in list.lines() {
        if let Some(index) = line.strip_prefix("Index: ") {
            let empty = String::new;
            current = Some(Text {
                index: index.into(),
                date: empty(),
                sender: empty(),
                text: empty(),
                status: empty(),
            });
        } else if let Some(text) = &mut current {
            take(text, line);
        }

        if line.starts_with("Status: ") {
            texts.extend(current.take());
        }
    }

    texts
}

fn take(text: &mut Text, line: &str) {
    match line.split_once(": ") {
        Some(("Date", value)) if text.date.is_empty() => text.date = value.to_owned(),
        Some(("Sender", value)) if text.sender.is_empty() => text.sender = value.to_owned(),
        Some(("Text", value)) if text.text.is_empty() => text.text = value.to_owned(),
        Some(("Status", value)) => text.status = value.to_owned(),
        _ => {
            text.text.push('\n');
            text.text.push_str(line);
        }
    }
}

impl Text {
    /// Returns its identity: the index alone is used again when its message is deleted.
    pub fn identity(&self) -> String {
        format!("{}|{}|{}", self.index, self.date, self.sender)
    }

    /// When it came, since 1970, by the router's clock: `Wed Dec 28 17:19:31 2022`.
    pub fn received(&self) -> Option<Duration> {
        let mut words = self.date.split_whitespace().skip(1);
        let month = words.next()?;
        let day = words.next()?;
        let time = words.next()?;
        let year = words.next()?;
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let month = months.iter().position(|name| *name == month)?;
        let mut parts = time.split(':').map(str::parse::<u64>);
        let seconds =
            parts.next()?.ok()? * 3_600 + parts.next()?.ok()? * 60 + parts.next()?.ok()?;
        let days = days_since_1970(year.parse().ok()?, month, day.parse().ok()?)?;
        Some(Duration::from_secs(days * 86_400 + seconds))
    }
}

/// Days from 1970-01-01 to a day; `month` counts from 0.
fn days_since_1970(year: u64, month: usize, day: u64) -> Option<u64> {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let lengths = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];

    // a year that far away is a fault of the router's
    let years = (1_970..year.min(10_000))
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum::<u64>();
    Some(years + lengths.iter().take(month).sum::<u64>() + day.checked_sub(1)?)
}
