//! Contender (a): an echo written for rumqttc's own event loop, tuned as far as its options go. It
//! answers each request with the request's QoS.

use anyhow::Result;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use super::{Contender, RECEIVE_MAXIMUM};

/// Requests that may wait in the channel to the event loop: more than any window, so that `try_publish` never fails.
const CHANNEL: usize = 100_000;
const MAX_PACKET: u32 = 1 << 20;

/// Echoes until the connection is lost.
///
/// # Errors
/// When it is.
pub(crate) async fn run(port: u16) -> Result<()> {
    let me = Contender::Native;
    let mut options = MqttOptions::new(me.name(), "127.0.0.1", port);
    options
        .set_max_packet_size(Some(MAX_PACKET))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM));
    options.set_outgoing_inflight_upper_limit(u16::MAX);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    let (client, mut events) = AsyncClient::new(options, CHANNEL);
    let [request, response] = me.topics(0);
    client.try_subscribe(request, QoS::AtLeastOnce)?;
    loop {
        if let Event::Incoming(Packet::Publish(request)) = events.poll().await? {
            client.try_publish(response.as_str(), request.qos, false, request.payload)?;
        }
    }
}
