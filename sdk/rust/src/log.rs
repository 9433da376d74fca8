//! Lines in the host's log. They are written at once, even if the call fails later.

use crate::host;

pub use crate::bindings::log::Level;

/// Writes one line; the macros ([`info!`](crate::info) and its like) are shorter.
pub fn log(level: Level, text: &str, fields: &[(String, String)]) {
    host::log::log(level, text, fields);
}

/// Writes a line of the given level: `log!(Level::Info, "text {}", value; field = value)`.
#[macro_export]
macro_rules! log {
    ($level:expr, $format:literal $(, $argument:expr)* $(,)? $(; $($field:ident = $value:expr),+ $(,)?)?) => {
        $crate::log::log($level, &::std::format!($format $(, $argument)*), &[
            $($((::std::string::String::from(::std::stringify!($field)), ::std::string::ToString::to_string(&$value))),+)?
        ])
    };
}

/// Writes a line that only somebody who looks for a fault wants.
#[macro_export]
macro_rules! trace { ($($line:tt)*) => { $crate::log!($crate::log::Level::Trace, $($line)*) }; }

/// Writes a line for developers.
#[macro_export]
macro_rules! debug { ($($line:tt)*) => { $crate::log!($crate::log::Level::Debug, $($line)*) }; }

/// Writes a line of note: `info!("moved to {place}"; speed = 3)`.
#[macro_export]
macro_rules! info { ($($line:tt)*) => { $crate::log!($crate::log::Level::Info, $($line)*) }; }

/// Writes a line about something that went wrong and was dealt with.
#[macro_export]
macro_rules! warn { ($($line:tt)*) => { $crate::log!($crate::log::Level::Warn, $($line)*) }; }

/// Writes a line about something that somebody must look after.
#[macro_export]
macro_rules! error { ($($line:tt)*) => { $crate::log!($crate::log::Level::Error, $($line)*) }; }
