//! Control over MQTT, if it is configured.

use tokio::task::JoinSet;
use tracing::info;

use super::control::Control;
use super::sessions::Sessions;
use crate::config;
use crate::mqtt_control::{MqttControl, Topics};

/// Starts it in `tasks` on `pool`, away from the message path.
///
/// # Errors
/// When the client identifier leaves no room for topics.
pub(super) fn start(
    settings: Option<&config::MqttControl>,
    sessions: &Sessions,
    control: &Control,
    (tasks, pool): (&mut JoinSet<()>, &tokio::runtime::Handle),
) -> anyhow::Result<()> {
    let Some(settings) = settings else {
        return Ok(());
    };

    let topics = Topics::new(&sessions.connection().client_id)?;
    let mqtt = MqttControl::new(settings, &topics, &sessions.main(), &control.requests());
    tasks.spawn_on(mqtt.run(), pool);
    info!("requests are taken on {}", topics.requests);
    Ok(())
}
