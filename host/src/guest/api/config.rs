//! Machine: `miqro:service/config`. In: nothing. Out: the service's section of the configuration as JSON, and who it
//! is. Owns nothing.

use crate::guest::bindings::miqro::service::config::{Host, Identity};
use crate::guest::store::Data;

impl Host for Data {
    fn get(&mut self) -> String {
        self.setting.config_json.clone()
    }

    fn me(&mut self) -> Identity {
        Identity {
            name: self.setting.name.clone(),
            base_topic: self.setting.base.as_str().to_owned(),
            discovery_prefix: self.setting.discovery_prefix.as_str().to_owned(),
        }
    }
}
