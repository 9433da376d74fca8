//! The faults that were measured in other clients, each against a scripted broker, in both protocol versions where it applies.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod scripted_broker;

use miqro_host::config::Protocol;
use scripted_broker::Seen;
use scripted_broker::rig::{Rig, message};

both_versions!(delivers_and_publishes, |version| async move {
    let mut rig = Rig::new(version).await;
    let mut peer = rig.ready(false).await;
    peer.publish("in/a", 7, 1, false, "hello").await;
    let (payload, receipt) = rig.next().await;
    assert_eq!(payload, "hello");
    rig.commit(receipt, vec![message("out", 1, "world"), message("out", 0, "zero")]).await;
    assert_eq!(peer.receive().await, Seen::publish("out", 2, 1, false, "world"));
    assert_eq!(peer.receive().await, Seen::publish("out", 0, 0, false, "zero"));
    peer.puback(2).await;
    assert_eq!(peer.receive().await, Seen::PubAck(7));
    rig.stop(std::time::Duration::from_secs(5)).await;
    assert_eq!(peer.receive().await, Seen::Disconnect(0));
    assert_eq!(peer.receive().await, Seen::Closed);
    assert_eq!(rig.ended().await.unwrap().unsent, 0);
});
