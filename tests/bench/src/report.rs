//! The report: aligned Markdown tables, and the same as JSON. Pure.

pub(crate) mod aim;
pub(crate) mod table;

pub(crate) use aim::{Aim, Verdict};
pub(crate) use table::{Table, Value};

use std::fmt;

/// One part of the report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    /// Its heading.
    pub title: String,
    /// The figures.
    pub table: Table,
    /// Notes for readers.
    pub notes: Vec<String>,
    /// The aims that they decide.
    pub aims: Vec<Aim>,
    /// Reasons to doubt these figures.
    pub doubts: Vec<String>,
}

/// The whole report.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// In the order of printing.
    pub sections: Vec<Section>,
    /// Reasons to doubt the figures.
    pub doubts: Vec<String>,
}

impl Report {
    /// The report as JSON: doubts, and one object a section with its rows and its aims.
    pub(crate) fn json(&self) -> serde_json::Value {
        let section = |s: &Section| {
            serde_json::json!({
                "title": s.title, "rows": s.table.json(), "notes": s.notes,
                "aims": s.aims.iter().map(Aim::json).collect::<Vec<_>>(),
            })
        };

        let sections: Vec<_> = self.sections.iter().map(section).collect();
        serde_json::json!({"doubts": self.doubts, "sections": sections})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            write!(f, "{section}")?;
        }
        let aims: Vec<&Aim> = self
            .sections
            .iter()
            .flat_map(|section| &section.aims)
            .collect();
        let count = |verdict| aims.iter().filter(|aim| aim.verdict() == verdict).count();
        let met = count(Verdict::Met);
        let undecided = count(Verdict::Undecided);
        let mut table = Table::new(&["aim", "wanted", "measured", "verdict"]);
        aims.iter().for_each(|aim| table.row(aim.row()));
        let all = aims.len();
        write!(
            f,
            "\n## Aims: {met} of {all} met, {undecided} undecided\n\n{table}"
        )?;
        self.doubts
            .iter()
            .try_for_each(|doubt| writeln!(f, "\nTOO NOISY: {doubt}"))
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n## {}\n\n{}", self.title, self.table)?;
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
