//! One aim and its measured figure. Pure.

use super::Value;
use crate::estimate::Estimate;

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
    measured: Estimate,
}

/// Whether an aim is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The whole interval of the figure is on the right side.
    Met,
    /// The whole interval is on the wrong side.
    Missed,
    /// The wanted figure is within the interval: more rounds, or a quieter machine, would tell.
    Undecided,
    /// There is no figure.
    NotMeasured,
}

impl Aim {
    /// `measured` shall be at least `wanted`.
    pub(crate) fn at_least(
        text: impl Into<String>,
        wanted: f64,
        measured: impl Into<Estimate>,
        unit: &'static str,
    ) -> Self {
        Self {
            text: text.into(),
            unit,
            side: Side::AtLeast,
            wanted,
            measured: measured.into(),
        }
    }

    /// `measured` shall be at most `wanted`.
    pub(crate) fn at_most(
        text: impl Into<String>,
        wanted: f64,
        measured: impl Into<Estimate>,
        unit: &'static str,
    ) -> Self {
        Self {
            text: text.into(),
            unit,
            side: Side::AtMost,
            wanted,
            measured: measured.into(),
        }
    }

    /// Whether it is met, as far as the spread of the figure allows to say so.
    pub(crate) fn verdict(&self) -> Verdict {
        let Estimate { median, low, high } = self.measured;
        if median.is_nan() {
            return Verdict::NotMeasured;
        }
        let meets = |figure: f64| match self.side {
            Side::AtLeast => figure >= self.wanted,
            Side::AtMost => figure <= self.wanted,
        };
        match (meets(low), meets(high)) {
            (true, true) => Verdict::Met,
            (false, false) => Verdict::Missed,
            _ => Verdict::Undecided,
        }
    }

    /// The verdict in words: `met`, by how much it is missed, or the interval that decides nothing.
    fn conclusion(&self) -> String {
        let Estimate { median, low, high } = self.measured;
        match self.verdict() {
            Verdict::NotMeasured => "not measured".to_owned(),
            Verdict::Met => "met".to_owned(),
            Verdict::Undecided => {
                let decimals = self.measured.decimals();
                format!("undecided: {low:.decimals$} to {high:.decimals$}")
            }
            Verdict::Missed => match (median - self.wanted).abs() {
                off if self.wanted == 0.0 => format!("MISSED by {off:.0} {}", self.unit),
                off => format!("MISSED by {:.0} %", 100.0 * off / self.wanted),
            },
        }
    }

    /// Its row: aim, wanted, measured, verdict.
    pub(crate) fn row(&self) -> Vec<Value> {
        let sign = if self.side == Side::AtLeast {
            ">="
        } else {
            "<="
        };
        let measured = if self.measured.median.is_nan() {
            "-".to_owned()
        } else {
            let decimals = self.measured.decimals();
            format!("{:.decimals$} {}", self.measured.median, self.unit)
        };
        let wanted = format!("{sign} {} {}", self.wanted, self.unit);
        vec![
            self.text.clone().into(),
            wanted.into(),
            measured.into(),
            self.conclusion().into(),
        ]
    }

    /// The same as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "aim": self.text, "wanted": self.wanted, "unit": self.unit,
            "measured": self.measured.median, "low": self.measured.low, "high": self.measured.high,
            "met": self.verdict() == Verdict::Met, "verdict": self.conclusion(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_by_how_much() {
        let at_least = |figure: f64| Aim::at_least("", 4.0, figure, "x").conclusion();
        let at_most = |wanted, figure: f64| Aim::at_most("", wanted, figure, "lost").conclusion();
        assert_eq!(at_least(4.0), "met");
        assert_eq!(at_least(3.0), "MISSED by 25 %");
        assert_eq!(at_most(15.0, 30.0), "MISSED by 100 %");
        assert_eq!(at_most(0.0, 3.0), "MISSED by 3 lost");
        assert_eq!(at_most(1.0, f64::NAN), "not measured");
    }

    #[test]
    fn a_wide_spread_decides_nothing() {
        let rounds = |rounds: [f64; 5]| Aim::at_least("", 4.0, Estimate::of(rounds), "x");
        assert_eq!(rounds([4.1, 4.2, 4.3, 4.4, 4.5]).verdict(), Verdict::Met);
        assert_eq!(rounds([3.1, 3.2, 3.3, 3.4, 3.5]).verdict(), Verdict::Missed);
        let wide = rounds([3.1, 4.2, 4.3, 4.4, 4.5]);
        assert_eq!(wide.verdict(), Verdict::Undecided);
        assert_eq!(wide.conclusion(), "undecided: 3.10 to 4.50");
    }
}
