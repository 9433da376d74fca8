//! Picture of the screen: the host, the table of services, and a line for questions, answers and keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row as TableRow, Table, TableState};

use super::model::{Model, Order, Row};
use crate::cli::list::{bytes, duration};

const KEYS: &str = "q end   s sort   / filter   r restart   e on/off";

/// Columns, their widths, and the order that each stands for.
const COLUMNS: [(&str, u16, Option<Order>); 9] = [
    ("service", 20, Some(Order::Name)),
    ("status", 12, None),
    ("version", 12, None),
    ("calls/s", 9, Some(Order::Rate)),
    ("failures", 9, Some(Order::Failures)),
    ("p99", 9, Some(Order::P99)),
    ("waiting", 8, Some(Order::Waiting)),
    ("memory", 10, Some(Order::Memory)),
    ("dead letters", 12, None),
];

/// Draws the whole screen.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());

    frame.render_widget(Line::from(model.host.as_str()), top);
    let rows = model.rows();
    let table = Table::new(rows.iter().map(|row| table_row(row)), widths(middle.width))
        .header(header(model.order))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(Some(model.selected()));
    frame.render_stateful_widget(table, middle, &mut state);
    frame.render_widget(Line::from(last_line(model)), bottom);
}

/// The widths of the columns that fit, at least of the first one.
fn widths(available: u16) -> Vec<Constraint> {
    let mut left = available;
    COLUMNS
        .iter()
        .enumerate()
        .map_while(|(place, (_, width, _))| {
            let is_shown = place == 0 || *width <= left;
            // one for the gap
            left = left.saturating_sub(width + 1);
            is_shown.then_some(Constraint::Length(*width))
        })
        .collect()
}

fn last_line(model: &Model) -> String {
    if let Some(question) = model.question_text() {
        return question;
    }
    if model.is_filtering {
        return format!("/{}", model.filter);
    }
    if model.message.is_empty() {
        KEYS.to_owned()
    } else {
        model.message.clone()
    }
}

/// The names of the columns; the one that is sorted by has a mark.
fn header(order: Order) -> TableRow<'static> {
    let cells = COLUMNS.map(|(name, _, of)| {
        if of == Some(order) {
            Cell::from(format!("{}*", order.column()))
        } else {
            Cell::from(name)
        }
    });
    TableRow::new(cells).style(Style::new().add_modifier(Modifier::BOLD))
}

fn table_row(row: &Row) -> TableRow<'static> {
    let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let rate = row.rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
    let style = match row.status.as_str() {
        "running" => Style::new(),
        "failed" | "waiting" => Style::new().fg(Color::Red),
        _ => Style::new().fg(Color::Yellow),
    };

    TableRow::new([
        row.name.clone(),
        row.status.clone(),
        row.version.clone(),
        rate,
        number(row.failures),
        duration(row.p99_us),
        number(row.waiting),
        bytes(row.memory),
        number(row.dead_letters),
    ])
    .style(style)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::termion::event::Key;
    use serde_json::json;

    use super::*;

    fn picture(model: &Model, width: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, 6)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn services_are_drawn_with_questions_and_answers_below() {
        let totals = json!({"calls": 5, "failures": 2, "p99_us": 1500.0});
        let activity = json!({
            "messages": totals, "timers": totals, "other": totals, "waiting": 3, "spooled": 0, "enabled": true,
            "used": {"memory": 2 << 20},
        });
        let echo = json!({
            "name": "echo", "status": "running", "version": "0123456789abcdef", "on_probation": false,
            "dead_letters": 7, "activity": activity,
        });
        let busy = json!({"name": "busy", "status": "running", "activity": null});
        let broker = json!({"address": "localhost:1883", "connected": false, "reason": "refused"});
        let host = json!({"version": "1.2.3", "broker": broker, "services": [echo, busy]});
        let mut model = Model::default();
        model.on_snapshot(&host, Instant::now());

        let drawn = picture(&model, 120);
        for part in [
            "miqro-host 1.2.3   broker localhost:1883, not connected: refused",
            "service*",
            "echo                 running      0123456789ab",
            "6         1.5 ms    3        2.0 MiB    7",
            "busy                 running      -            -         -",
            KEYS,
        ] {
            assert!(drawn.contains(part), "expected {part:?} in\n{drawn}");
        }

        model.on_key(Key::Char('r'));
        assert!(picture(&model, 120).contains("restart busy? y for yes"));
        model.on_key(Key::Char('n'));
        model.on_answer("done".into());
        assert!(picture(&model, 120).contains("\"done "));
        // a small terminal shows what fits
        assert!(picture(&model, 12).contains("echo"));
    }
}
