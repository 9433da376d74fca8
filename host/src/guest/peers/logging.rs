//! `wasi:logging`: lines in the log of the service.

use crate::guest::bindings::miqro::service::log::{Host as ContractHost, Level as ContractLevel};
use crate::guest::store::StoreData;

use super::bindings::wasi::logging::logging::{Host, Level};

impl Host for StoreData {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => ContractLevel::Trace,
            Level::Debug => ContractLevel::Debug,
            Level::Info => ContractLevel::Info,
            Level::Warn => ContractLevel::Warn,
            Level::Error | Level::Critical => ContractLevel::Error,
        };

        let fields = if context.is_empty() {
            Vec::new()
        } else {
            vec![("context".to_owned(), context)]
        };
        ContractHost::log(self, level, message, fields);
        Ok(())
    }
}
