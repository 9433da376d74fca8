//! The table of a section: one row for each key, from which follow the structure, its defaults, the reader, the rendering, the
//! reference and, for limits, the kind of fault.
//!
//! ```text
//! settings! {
//!     /// The meaning of the structure.
//!     pub struct CallLimits {
//!         /// How long one call may run. This text is also the key's meaning in the reference.
//!         pub time: Duration = Duration::from_secs(1), "call": Span(MS..=DAY), fault Call;
//!     }
//! }
//! ```
//!
//! A row is: the field, its type and default, the key, the format, and options (`fault`, `example`, `needs_restart`). A structure may also
//! consist of groups (`pub memory: flatten MemoryLimits`), whose keys stand in the same section of the file.

use serde_json::{Map, Value};

use super::key::Key;
use super::section::Section;
use crate::fault_kind::FaultKind;

/// A structure that has a table.
pub(super) trait Settings: Default {
    /// Reads the keys that the section has; all others keep their values.
    fn read(&mut self, section: &mut Section<'_>);

    /// Adds every key with its value to `members`.
    fn render(&self, members: &mut Map<String, Value>);

    /// The keys for the reference.
    fn keys() -> Vec<Key>;

    /// The key whose limit is exceeded by a fault of this kind.
    fn key_of(fault: FaultKind) -> Option<&'static str>;
}

/// Declares a structure together with the table of its keys; see the module.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: flatten $group:ident;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $group, )+
        }

        impl $crate::config::settings::Settings for $name {
            fn read(&mut self, section: &mut $crate::config::section::Section<'_>) {
                $( self.$field.read(section); )+
            }

            fn render(&self, members: &mut serde_json::Map<String, serde_json::Value>) {
                $( self.$field.render(members); )+
            }

            fn keys() -> Vec<$crate::config::key::Key> {
                [$( <$group as $crate::config::settings::Settings>::keys() ),+].concat()
            }

            fn key_of(fault: $crate::fault_kind::FaultKind) -> Option<&'static str> {
                None $( .or_else(|| $group::key_of(fault)) )+
            }
        }
    };

    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: $type:ty = $default:expr, $key:literal: $format:expr
                    $(, fault $fault:ident)? $(, example $example:literal)? $(, needs_restart $restart:literal)?;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::settings::Settings for $name {
            fn read(&mut self, section: &mut $crate::config::section::Section<'_>) {
                use $crate::config::format::Format;

                $( if let Some(value) = section.take($key) {
                    ($format).read(value, &mut self.$field);
                } )+
            }

            fn render(&self, members: &mut serde_json::Map<String, serde_json::Value>) {
                use $crate::config::format::Format;

                $( members.insert($key.to_owned(), ($format).render(&self.$field)); )+
            }

            fn keys() -> Vec<$crate::config::key::Key> {
                use $crate::config::format::table_key;

                let default = Self::default();
                vec![$(
                    table_key($key, concat!($($doc),+), &($format), &default.$field)
                        $( .fault($crate::fault_kind::FaultKind::$fault) )?
                        $( .example($example) )?
                        $( .needs_restart($restart) )?,
                )+]
            }

            fn key_of(fault: $crate::fault_kind::FaultKind) -> Option<&'static str> {
                match fault {
                    $( $( $crate::fault_kind::FaultKind::$fault => Some($key), )? )+
                    _ => None,
                }
            }
        }
    };
}

pub(super) use settings;
