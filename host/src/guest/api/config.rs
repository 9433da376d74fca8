//! Machine: `miqro:service/config`. In: nothing. Out: the service's section of the configuration as JSON. Owns nothing.

use crate::guest::bindings::miqro::service::config::Host;
use crate::guest::store::Data;

impl Host for Data {
    fn get(&mut self) -> String {
        self.setting.config_json.clone()
    }
}
