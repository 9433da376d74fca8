//! `wasi:config/store`: the keys of the service's section; text as it is, any other value as JSON.

use serde_json::{Map, Value};

use crate::guest::store::StoreData;

/// The members of the section.
fn section(data: &StoreData) -> Map<String, Value> {
    serde_json::from_str(&data.ctx.config_json).unwrap_or_default()
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// Implements one version of the interface; the versions are equal.
macro_rules! implement {
    ($store:path) => {
        const _: () = {
            use $store as store;

            impl store::Host for StoreData {
                fn get(
                    &mut self,
                    key: String,
                ) -> wasmtime::Result<Result<Option<String>, store::Error>> {
                    Ok(Ok(section(self).remove(&key).map(text)))
                }

                fn get_all(
                    &mut self,
                ) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
                    let members = section(self).into_iter();
                    Ok(Ok(members.map(|(key, value)| (key, text(value))).collect()))
                }
            }
        };
    };
}

implement!(super::bindings::wasi::config0_2_0_draft::store);
implement!(super::bindings::wasi::config0_2_0_rc_1::store);
