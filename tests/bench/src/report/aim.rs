//! One aim and its measured figure. Pure.

use super::Value;

/// On which side of the wanted figure the measured one shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    AtLeast,
    AtMost,
}

/// An aim of the project with the figure that was measured for it.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    text: String,
    unit: &'static str,
    side: Side,
    wanted: f64,
    measured: f64,
}

impl Aim {
    /// `measured` shall be at least `wanted`.
    pub(crate) fn at_least(
        text: impl Into<String>,
        wanted: f64,
        measured: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            text: text.into(),
            unit,
            side: Side::AtLeast,
            wanted,
            measured,
        }
    }

    /// `measured` shall be at most `wanted`.
    pub(crate) fn at_most(
        text: impl Into<String>,
        wanted: f64,
        measured: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            text: text.into(),
            unit,
            side: Side::AtMost,
            wanted,
            measured,
        }
    }

    /// Whether it is met; an aim without a figure is not.
    pub(crate) fn is_met(&self) -> bool {
        match self.side {
            Side::AtLeast => self.measured >= self.wanted,
            Side::AtMost => self.measured <= self.wanted,
        }
    }

    /// `met`, or by how much it is missed.
    pub(crate) fn verdict(&self) -> String {
        if self.measured.is_nan() {
            return "not measured".to_owned();
        }
        if self.is_met() {
            return "met".to_owned();
        }
        match (self.measured - self.wanted).abs() {
            off if self.wanted == 0.0 => format!("MISSED by {off:.0} {}", self.unit),
            off => format!("MISSED by {:.0} %", 100.0 * off / self.wanted),
        }
    }

    /// Its row: aim, wanted, measured, verdict.
    pub(crate) fn row(&self) -> Vec<Value> {
        let sign = if self.side == Side::AtLeast {
            ">="
        } else {
            "<="
        };
        let measured = if self.measured.is_nan() {
            "-".to_owned()
        } else {
            format!("{:.2} {}", self.measured, self.unit)
        };
        let wanted = format!("{sign} {} {}", self.wanted, self.unit);
        vec![
            self.text.clone().into(),
            wanted.into(),
            measured.into(),
            self.verdict().into(),
        ]
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "aim": self.text, "wanted": self.wanted, "measured": self.measured, "unit": self.unit,
            "met": self.is_met(), "verdict": self.verdict(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_by_how_much() {
        assert_eq!(Aim::at_least("", 4.0, 4.0, "x").verdict(), "met");
        assert_eq!(Aim::at_least("", 4.0, 3.0, "x").verdict(), "MISSED by 25 %");
        assert_eq!(
            Aim::at_most("", 15.0, 30.0, "ms").verdict(),
            "MISSED by 100 %"
        );
        assert_eq!(
            Aim::at_most("", 0.0, 3.0, "lost").verdict(),
            "MISSED by 3 lost"
        );
        assert_eq!(
            Aim::at_most("", 1.0, f64::NAN, "x").verdict(),
            "not measured"
        );
    }
}
