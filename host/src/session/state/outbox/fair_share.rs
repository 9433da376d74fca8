//! FairShares out the outbox: how much of it each service uses, and which services have to wait before they publish more.
//!
//! Pure. A service may use as much as is free (dynamic thresholds, as in switches with shared memory): one that publishes without end
//! comes to a half of the outbox, two come to a third each, and something is always left for the others. Without a connection messages of
//! QoS 0 count for nothing: when the outbox is full, the service with most of them loses its oldest one.

use crate::config::OutboxLimits;
use crate::message::{Message, Qos};
use crate::router::ServiceId;

/// What a message takes of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    bytes: usize,
    is_qos_0: bool,
}

impl Charge {
    pub fn of(message: &Message) -> Self {
        Self {
            bytes: message.weight(),
            is_qos_0: message.qos == Qos::AtMostOnce,
        }
    }
}

/// Messages and what they weigh, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    pub messages: usize,
    pub bytes: usize,
}

impl Used {
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

    /// So many quarters of it.
    const fn quarters(self, count: usize) -> Self {
        Self {
            messages: self.messages * count / 4,
            bytes: self.bytes / 4 * count,
        }
    }
}

/// What is used, by all or by a service.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    all: Used,
    /// The messages of QoS 0 among them, which can be dropped while there is no connection.
    qos_0: Used,
}

impl Account {
    const fn add(&mut self, charge: Charge) {
        self.all.add(charge.bytes);
        if charge.is_qos_0 {
            self.qos_0.add(charge.bytes);
        }
    }

    const fn remove(&mut self, charge: Charge) {
        self.all.remove(charge.bytes);
        if charge.is_qos_0 {
            self.qos_0.remove(charge.bytes);
        }
    }

    /// What cannot be dropped.
    const fn held(&self, online: bool) -> Used {
        if online {
            self.all
        } else {
            self.all.without(self.qos_0)
        }
    }
}

/// Who uses how much of the outbox.
#[derive(Debug, Default)]
pub struct FairShares {
    total: Account,
    services: Vec<Service>,
    /// How many services are congested.
    congested: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Service {
    account: Account,
    congested: bool,
}

impl FairShares {
    /// A message of `service` came into the outbox; `None`: of the host itself.
    pub fn add(&mut self, service: Option<ServiceId>, charge: Charge) {
        self.total.add(charge);
        let Some(index) = service.map(index) else {
            return;
        };
        if self.services.len() <= index {
            self.services.resize(index + 1, Service::default());
        }
        self.services[index].account.add(charge);
    }

    /// A message of `service` left the outbox.
    pub fn remove(&mut self, service: Option<ServiceId>, charge: Charge) {
        self.total.remove(charge);
        if let Some(service) = service.and_then(|service| self.services.get_mut(index(service))) {
            service.account.remove(charge);
        }
    }

    /// Whether another message fits, where those that can be dropped do not count.
    pub const fn has_room(&self, limits: OutboxLimits, online: bool) -> bool {
        let held = self.total.held(online);
        held.messages < limits.messages && held.bytes < limits.bytes
    }

    /// While there is no connection: the service whose messages of QoS 0 are to be dropped, because there is more than fits. That is the
    /// one with most of them.
    pub fn dropping(&self, limits: OutboxLimits) -> Option<Option<ServiceId>> {
        let all = self.total.all;
        let too_many = all.messages > limits.messages;
        if !too_many && all.bytes <= limits.bytes {
            return None;
        }
        let own = self
            .services
            .iter()
            .fold(self.total.qos_0, |left, service| {
                left.without(service.account.qos_0)
            });
        let services = self
            .services
            .iter()
            .enumerate()
            .map(|(place, service)| (Some(id(place)), service.account.qos_0));
        let droppable = services
            .chain([(None, own)])
            .filter(|(_, qos_0)| qos_0.messages > 0);
        let most = droppable.max_by_key(|(_, qos_0)| {
            if too_many {
                qos_0.messages
            } else {
                qos_0.bytes
            }
        });
        most.map(|(service, _)| service)
    }

    /// Whether `changes` may have some.
    pub const fn is_crowded(&self, limits: OutboxLimits) -> bool {
        self.congested > 0
            || self.total.all.reaches(Used {
                messages: limits.messages / 4,
                bytes: limits.bytes / 4,
            })
    }

    /// The services that from now on are congested (`true`), or no longer.
    pub fn changes(&mut self, limits: OutboxLimits, online: bool) -> Vec<(ServiceId, bool)> {
        let held = self.total.held(online);
        let free = Used {
            messages: limits.messages.saturating_sub(held.messages),
            bytes: limits.bytes.saturating_sub(held.bytes),
        };
        let mut changes = Vec::new();
        for (place, service) in self.services.iter_mut().enumerate() {
            let used = service.account.held(online);
            // not back and forth with each acknowledgement
            let share = if service.congested {
                free.quarters(3)
            } else {
                free
            };
            let congested = used.messages > 0 && used.reaches(share);
            if congested != service.congested {
                service.congested = congested;
                changes.push((id(place), congested));
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

/// Services have consecutive numbers from zero, the host's own count down from the largest: those come first here.
const fn index(service: ServiceId) -> usize {
    service.0.wrapping_add(OWN) as usize
}

fn id(place: usize) -> ServiceId {
    ServiceId(u32::try_from(place).unwrap_or(u32::MAX).wrapping_sub(OWN))
}

/// Numbers that the host may use itself.
const OWN: u32 = 2;

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
            is_qos_0: false,
        }
    }

    /// Services that publish whenever they may, until none may: what each of them uses.
    fn flood(shares: &mut FairShares, services: &[(ServiceId, usize)]) -> Vec<Used> {
        let mut order: Vec<usize> = (0..services.len()).collect();
        let mut open = vec![true; services.len()];
        while let Some(next) = open.iter().position(|open| *open) {
            // each in its turn
            open.rotate_left(next + 1);
            order.rotate_left(next + 1);
            let (service, bytes) = services[*order.last().unwrap()];
            shares.add(Some(service), confirmed(bytes));
            for (changed, congested) in shares.changes(LIMITS, true) {
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
    fn a_service_is_free_again_when_the_broker_has_taken_enough() {
        let mut shares = FairShares::default();
        flood(&mut shares, &[(ServiceId(3), 10)]);
        assert!(shares.is_crowded(LIMITS));
        let mut freed = Vec::new();
        while freed.is_empty() {
            shares.remove(Some(ServiceId(3)), confirmed(10));
            freed = shares.changes(LIMITS, true);
        }
        assert_eq!(freed, [(ServiceId(3), false)]);
        assert!(
            (400..450).contains(&shares.total.all.messages),
            "{:?}",
            shares.total.all
        );
    }

    #[test]
    fn without_a_connection_the_service_with_most_of_qos_0_loses_messages() {
        let (mut shares, limits) = (
            FairShares::default(),
            OutboxLimits {
                messages: 10,
                bytes: 1000,
            },
        );
        let qos_0 = Charge {
            bytes: 1,
            is_qos_0: true,
        };
        for (service, charge, count) in [(1, qos_0, 3), (2, qos_0, 4), (3, confirmed(1), 4)] {
            (0..count).for_each(|_| shares.add(Some(ServiceId(service)), charge));
        }
        assert_eq!(shares.dropping(limits), Some(Some(ServiceId(2))));
        assert!(shares.has_room(limits, false) && !shares.has_room(limits, true));
        assert!(
            shares.changes(limits, false).is_empty(),
            "what can be dropped congests nobody"
        );
        shares.remove(Some(ServiceId(2)), qos_0);
        assert_eq!(shares.dropping(limits), None);
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
            prop_assert!(shares.changes(LIMITS, true).is_empty(), "the outbox is full: {:?}", shares.total.all);
        }
    }
}
