//! Identifiers of services and subscriptions.

use crate::message::Subscription;

/// The number of a service, for the life of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

impl ServiceId {
    /// The sender of the requests of all services.
    pub const REQUESTS: Self = Self(u32::MAX - 1);
    /// The reader of the properties that services watch.
    pub const PROPERTIES: Self = Self(u32::MAX - 2);
    /// The reader of requests to the host.
    pub const MQTT_CONTROL: Self = Self(u32::MAX - 3);
    /// The count of numbers at the end that are for the host.
    pub const HOST_IDS: u32 = 4;
}

/// A subscription with its subscription identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifiedSubscription {
    /// Filter and the highest quality of service that a service asked for.
    pub subscription: Subscription,
    /// The subscription identifier (MQTT 5, section 3.8.2.1.2).
    pub id: SubscriptionId,
}

/// A subscription identifier: 1 to 268,435,455. It is derived from the filter's text, so that it means the same filter after a restart,
/// when the broker delivers messages that it queued meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);
