//! One reading of a sensor, as in `["lux-1", 624, 284.1312]`.

use serde::{Deserialize, Serialize, Serializer};

use crate::clock;

/// A reading: which sensor, when, what. As JSON it is a list of the three.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "(String, f64, f64)")]
pub struct Reading {
    /// Which sensor.
    pub sensor_id: String,
    /// When: seconds since 1970, or since a device without a clock was switched on.
    pub ts: f64,
    /// Its value.
    pub val: f64,
}

impl Reading {
    /// A reading of now.
    #[allow(clippy::cast_precision_loss)]
    pub fn now(sensor_id: impl Into<String>, val: f64) -> Self {
        Self {
            sensor_id: sensor_id.into(),
            ts: clock::wall().as_secs() as f64,
            val,
        }
    }

    /// The same reading with the time of now, for devices without a clock.
    #[must_use]
    pub fn stamped(self) -> Self {
        Self::now(self.sensor_id, self.val)
    }
}

impl From<(String, f64, f64)> for Reading {
    fn from((sensor_id, ts, val): (String, f64, f64)) -> Self {
        Self { sensor_id, ts, val }
    }
}

impl Serialize for Reading {
    #[allow(clippy::cast_possible_truncation)]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.ts.fract() == 0.0 && self.ts.abs() < 1e15 {
            return (&self.sensor_id, self.ts as i64, self.val).serialize(serializer);
        }
        (&self.sensor_id, self.ts, self.val).serialize(serializer)
    }
}

/// Something with a value that can be averaged.
pub trait Measured {
    /// The value.
    fn value(&self) -> f64;
    /// The same with another value.
    #[must_use]
    fn with_value(self, value: f64) -> Self;
}

impl Measured for f64 {
    fn value(&self) -> f64 {
        *self
    }

    fn with_value(self, value: f64) -> Self {
        value
    }
}

impl Measured for Reading {
    fn value(&self) -> f64 {
        self.val
    }

    fn with_value(self, value: f64) -> Self {
        Self { val: value, ..self }
    }
}
