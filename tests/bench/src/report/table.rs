//! One table, as aligned Markdown or JSON. Pure.

use std::fmt;

use crate::estimate::Estimate;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Text, aligned left.
    Text(String),
    /// A figure with so many decimals, aligned right; a dash when it is not a number.
    Number(f64, usize),
    /// A figure with its interval; a dash when it is not a number.
    Estimate(Estimate),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Estimate(figure) if !figure.median.is_finite() => f.write_str("-"),
            Self::Estimate(figure) => {
                let Estimate { median, low, high } = figure;
                let decimals = figure.decimals();
                write!(
                    f,
                    "{median:.decimals$} ({low:.decimals$}-{high:.decimals$})"
                )
            }
            Self::Number(number, _) if !number.is_finite() => f.write_str("-"),
            Self::Number(number, 0) => f.write_str(&thousands(number.round() as i64)),
            Self::Number(number, decimals) => write!(f, "{number:.decimals$}"),
        }
    }
}

/// A table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            headings: headings.iter().map(|&h| h.to_owned()).collect(),
            rows: vec![],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Value>) {
        self.rows.push(cells);
    }

    /// One object a row, keyed by heading.
    pub(crate) fn json(&self) -> serde_json::Value {
        let cell = |value: &Value| match value {
            Value::Text(text) => serde_json::json!(text),
            Value::Number(number, _) => serde_json::json!(number),
            Value::Estimate(figure) => serde_json::json!({
                "median": figure.median, "low": figure.low, "high": figure.high,
            }),
        };

        let row = |row: &Vec<Value>| -> serde_json::Value {
            self.headings
                .iter()
                .cloned()
                .zip(row.iter().map(cell))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };

        self.rows.iter().map(row).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let width = |(column, heading): (usize, &String)| {
            cells(column)
                .map(|cell| cell.to_string().chars().count())
                .max()
                .unwrap_or(0)
                .max(heading.chars().count())
        };

        self.headings.iter().enumerate().map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let right = |column: usize| {
            self.rows.iter().any(|row| {
                matches!(
                    row.get(column),
                    Some(Value::Number(..) | Value::Estimate(_))
                )
            })
        };

        for (heading, width) in self.headings.iter().zip(&widths) {
            write!(f, "| {heading:width$} ")?;
        }
        writeln!(f, "|")?;
        for (column, width) in widths.iter().enumerate() {
            write!(
                f,
                "|{}{}",
                "-".repeat(width + 1),
                if right(column) { ":" } else { "-" }
            )?;
        }

        writeln!(f, "|")?;
        for row in &self.rows {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = cell.to_string();
                if right(column) {
                    write!(f, "| {cell:>width$} ")?
                } else {
                    write!(f, "| {cell:width$} ")?
                }
            }

            writeln!(f, "|")?;
        }

        Ok(())
    }
}

/// A number with a comma before each group of three digits.
fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }

    if number < 0 { format!("-{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_aligned_and_grouped() {
        let mut table = Table::new(&["who", "msg/s"]);
        table.row(vec!["a".into(), Value::Number(1_234_567.0, 0)]);
        table.row(vec!["bcd".into(), Value::Number(f64::NAN, 0)]);
        let wanted =
            "| who | msg/s     |\n|-----|----------:|\n| a   | 1,234,567 |\n| bcd |         - |\n";
        assert_eq!(table.to_string(), wanted);
    }
}
