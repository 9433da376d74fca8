//! `miqro:service/config`: the service's section of the configuration as JSON, and its identity.

use crate::guest::bindings::miqro::service::config::{Host, Identity};
use crate::guest::store::StoreData;

impl Host for StoreData {
    fn get(&mut self) -> String {
        self.ctx.config_json.clone()
    }

    fn me(&mut self) -> Identity {
        Identity {
            name: self.ctx.config.name.clone(),
            base_topic: self.ctx.config.base.as_str().to_owned(),
            discovery_prefix: self.ctx.discovery_prefix.as_str().to_owned(),
        }
    }
}
