//! Fair shares of the outbox: the usage of each service, and which services have to wait before they publish more.
//!
//! A service may use as much as is free (dynamic thresholds, as in switches with shared memory): one that publishes without end comes
//! to a half of the outbox, two come to a third each, and something is always left for the others. Without a connection QoS 0 messages
//! count for nothing: when the outbox is full, the service with most of them loses its oldest one.

use crate::config::OutboxLimits;
use crate::message::{Message, Qos};
use crate::router::ServiceId;

/// The space that a message takes in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charge {
    bytes: usize,
    is_qos0: bool,
}

impl Charge {
    pub(crate) fn from_message(message: &Message) -> Self {
        Self {
            bytes: message.weight(),
            is_qos0: message.qos == Qos::AtMostOnce,
        }
    }
}

/// A number of messages, and their weight in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub messages: usize,
    pub bytes: usize,
}

impl Usage {
    const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    const fn remove(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }

    const fn without(self, other: Self) -> Self {
        Self {
            messages: self.messages - other.messages,
            bytes: self.bytes - other.bytes,
        }
    }

    const fn reaches(self, share: Self) -> bool {
        self.messages >= share.messages || self.bytes >= share.bytes
    }

    /// This number of quarters of it.
    const fn quarters(self, count: usize) -> Self {
        Self {
            messages: self.messages * count / 4,
            bytes: self.bytes / 4 * count,
        }
    }
}

/// The usage of all services together, or of one.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    all: Usage,
    /// The QoS 0 messages among them, which can be dropped without a connection.
    qos0: Usage,
}

impl Account {
    const fn add(&mut self, charge: Charge) {
        self.all.add(charge.bytes);
        if charge.is_qos0 {
            self.qos0.add(charge.bytes);
        }
    }

    const fn remove(&mut self, charge: Charge) {
        self.all.remove(charge.bytes);
        if charge.is_qos0 {
            self.qos0.remove(charge.bytes);
        }
    }

    /// The usage that cannot be dropped.
    const fn undroppable(&self, online: bool) -> Usage {
        if online {
            self.all
        } else {
            self.all.without(self.qos0)
        }
    }
}

/// The usage of the outbox by service.
#[derive(Debug, Default)]
pub(super) struct FairShares {
    total: Account,
    services: Vec<ServiceAccount>,
    /// Number of congested services.
    congested: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct ServiceAccount {
    account: Account,
    congested: bool,
}

impl FairShares {
    /// Adds a message of `service`; `None`: of the host itself.
    pub(super) fn add(&mut self, service: Option<ServiceId>, charge: Charge) {
        self.total.add(charge);
        let Some(index) = service.map(index) else {
            return;
        };
        if self.services.len() <= index {
            self.services.resize(index + 1, ServiceAccount::default());
        }
        self.services[index].account.add(charge);
    }

    /// Removes a message of `service`.
    pub(super) fn remove(&mut self, service: Option<ServiceId>, charge: Charge) {
        self.total.remove(charge);
        if let Some(service) = service.and_then(|service| self.services.get_mut(index(service))) {
            service.account.remove(charge);
        }
    }

    /// Whether another message fits. Messages that can be dropped do not count.
    pub(super) const fn has_room(&self, limits: OutboxLimits, online: bool) -> bool {
        let held = self.total.undroppable(online);
        held.messages < limits.messages && held.bytes < limits.bytes
    }

    /// The service that has to lose a QoS 0 message because the outbox is too full: the one with most of them. Only without a
    /// connection.
    pub(super) fn service_to_drop_from(&self, limits: OutboxLimits) -> Option<Option<ServiceId>> {
        let all = self.total.all;
        let too_many = all.messages > limits.messages;
        if !too_many && all.bytes <= limits.bytes {
            return None;
        }
        let own = self.services.iter().fold(self.total.qos0, |left, service| {
            left.without(service.account.qos0)
        });
        let services = self
            .services
            .iter()
            .enumerate()
            .map(|(place, service)| (Some(service_id(place)), service.account.qos0));
        let droppable = services
            .chain([(None, own)])
            .filter(|(_, qos0)| qos0.messages > 0);
        let most = droppable.max_by_key(
            |(_, qos0)| {
                if too_many { qos0.messages } else { qos0.bytes }
            },
        );
        most.map(|(service, _)| service)
    }

    /// Whether `congestion_changes` may have some.
    pub(super) const fn is_near_capacity(&self, limits: OutboxLimits) -> bool {
        self.congested > 0
            || self.total.all.reaches(Usage {
                messages: limits.messages / 4,
                bytes: limits.bytes / 4,
            })
    }

    /// Services that from now on are congested (`true`), or no longer.
    pub(super) fn congestion_changes(
        &mut self,
        limits: OutboxLimits,
        online: bool,
    ) -> Vec<(ServiceId, bool)> {
        let held = self.total.undroppable(online);
        let free = Usage {
            messages: limits.messages.saturating_sub(held.messages),
            bytes: limits.bytes.saturating_sub(held.bytes),
        };
        let mut changes = Vec::new();
        for (place, service) in self.services.iter_mut().enumerate() {
            let used = service.account.undroppable(online);
            // hysteresis: no change with each single acknowledgement
            let share = if service.congested {
                free.quarters(3)
            } else {
                free
            };
            let congested = used.messages > 0 && used.reaches(share);
            if congested != service.congested {
                service.congested = congested;
                changes.push((service_id(place), congested));
            }
        }

        self.congested = self
            .services
            .iter()
            .filter(|service| service.congested)
            .count();
        changes
    }
}

/// Services have consecutive numbers from zero, and the host's own numbers count down from the largest: those come first here.
const fn index(service: ServiceId) -> usize {
    service.0.wrapping_add(ServiceId::HOST_IDS) as usize
}

fn service_id(place: usize) -> ServiceId {
    ServiceId(
        u32::try_from(place)
            .unwrap_or(u32::MAX)
            .wrapping_sub(ServiceId::HOST_IDS),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits {
        messages: 1000,
        bytes: 1_000_000,
    };

    const fn confirmed(bytes: usize) -> Charge {
        Charge {
            bytes,
            is_qos0: false,
        }
    }

    /// Lets services publish whenever they may, until none may, and returns the usage of each.
    fn flood(shares: &mut FairShares, services: &[(ServiceId, usize)]) -> Vec<Usage> {
        let mut order: Vec<usize> = (0..services.len()).collect();
        let mut open = vec![true; services.len()];
        while let Some(next) = open.iter().position(|open| *open) {
            // each in its turn
            open.rotate_left(next + 1);
            order.rotate_left(next + 1);
            let (service, bytes) = services[*order.last().unwrap()];
            shares.add(Some(service), confirmed(bytes));
            for (changed, congested) in shares.congestion_changes(LIMITS, true) {
                let place = order
                    .iter()
                    .position(|at| services[*at].0 == changed)
                    .unwrap();
                open[place] = !congested;
            }
        }

        services
            .iter()
            .map(|(service, _)| shares.services[index(*service)].account.all)
            .collect()
    }

    #[test]
    fn one_service_comes_to_a_half_and_two_to_a_third_each() {
        let one = flood(&mut FairShares::default(), &[(ServiceId(0), 10)]);
        assert_eq!(one[0].messages, 500);
        let two = flood(
            &mut FairShares::default(),
            &[(ServiceId(0), 10), (ServiceId(u32::MAX - 1), 10)],
        );
        assert!(
            two.iter().all(|used| (333..=335).contains(&used.messages)),
            "{two:?}"
        );
        let heavy = flood(&mut FairShares::default(), &[(ServiceId(7), 100_000)]);
        assert_eq!(heavy[0].messages, 5);
    }

    #[test]
    fn numbers_of_the_host_come_before_those_of_services() {
        let own = [
            ServiceId::REQUESTS,
            ServiceId::PROPERTIES,
            ServiceId::MQTT_CONTROL,
        ];
        for id in own {
            assert!(index(id) < index(ServiceId(0)), "{id:?}");
            assert_eq!(service_id(index(id)), id);
        }
    }

    #[test]
    fn a_service_is_free_again_when_the_broker_has_taken_enough() {
        let mut shares = FairShares::default();
        flood(&mut shares, &[(ServiceId(3), 10)]);
        assert!(shares.is_near_capacity(LIMITS));
        let mut freed = Vec::new();
        while freed.is_empty() {
            shares.remove(Some(ServiceId(3)), confirmed(10));
            freed = shares.congestion_changes(LIMITS, true);
        }
        assert_eq!(freed, [(ServiceId(3), false)]);
        assert!(
            (400..450).contains(&shares.total.all.messages),
            "{:?}",
            shares.total.all
        );
    }

    #[test]
    fn without_a_connection_the_service_with_most_of_qos0_loses_messages() {
        let mut shares = FairShares::default();
        let limits = OutboxLimits {
            messages: 10,
            bytes: 1000,
        };
        let qos0 = Charge {
            bytes: 1,
            is_qos0: true,
        };
        for (service, charge, count) in [(1, qos0, 3), (2, qos0, 4), (3, confirmed(1), 4)] {
            (0..count).for_each(|_| shares.add(Some(ServiceId(service)), charge));
        }
        assert_eq!(
            shares.service_to_drop_from(limits),
            Some(Some(ServiceId(2)))
        );
        assert!(shares.has_room(limits, false) && !shares.has_room(limits, true));
        assert!(
            shares.congestion_changes(limits, false).is_empty(),
            "messages that can be dropped congest nobody"
        );
        shares.remove(Some(ServiceId(2)), qos0);
        assert_eq!(shares.service_to_drop_from(limits), None);
    }

    proptest! {
        #[test]
        fn something_is_always_left_for_another_service(count in 1_u32..20, bytes in 1_usize..5000) {
            let services: Vec<_> = (0..count).map(|number| (ServiceId(number), bytes)).collect();
            let mut shares = FairShares::default();
            let used = flood(&mut shares, &services);
            let sum = used.iter().map(|used| used.messages).sum::<usize>();
            prop_assert_eq!(sum, shares.total.all.messages);
            shares.add(Some(ServiceId(count)), confirmed(1));
            prop_assert!(shares.congestion_changes(LIMITS, true).is_empty(), "the outbox is full: {:?}", shares.total.all);
        }
    }
}
