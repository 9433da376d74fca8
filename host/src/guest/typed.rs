//! Typed interfaces of guests: reads them from components, links and calls their functions, and converts values.

pub(super) mod calling;
mod exported;
mod form;
pub(super) mod interfaces;
pub(super) mod linking;
pub(super) mod serving;
pub(super) mod typed_exports;
pub(super) mod values;
