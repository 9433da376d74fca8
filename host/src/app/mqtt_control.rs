//! Control over MQTT, if it is configured.

use tokio::task::JoinSet;
use tracing::info;

use super::control::Control;
use super::sessions::Sessions;
use crate::mqtt_control::{MqttControl, Setup};

/// Starts it in `tasks` on `pool`, away from the message path.
pub(super) fn start(
    setup: Option<Setup>,
    sessions: &Sessions,
    control: &Control,
    (tasks, pool): (&mut JoinSet<()>, &tokio::runtime::Handle),
) {
    if let Some(setup) = setup {
        info!("requests are taken on {}", setup.topics.requests);
        let mqtt = MqttControl::new(setup, &sessions.main(), &control.requests());
        tasks.spawn_on(mqtt.run(), pool);
    }
}
