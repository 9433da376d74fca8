//! Chooses the identity of a host among those that exist, or decides that a new one is made. Pure.

use std::fmt;

use super::record::{Origin, Record, is_invented};

/// An identity that exists already.
#[derive(Debug, Clone)]
pub(super) struct ExistingIdentity {
    stem: String,
    /// Its last use; `None`: it was made by a host that kept no records.
    origin: Option<Origin>,
    in_use: bool,
    /// Whether the configuration that it was used for is still where it was, as far as this machine can tell.
    config_is_there: bool,
}

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// This one is taken.
    Existing(usize, Why),
    /// This one fits, but another host uses it.
    InUse(usize),
    /// A new one is made.
    New,
}

/// The reason why an identity is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It was used for exactly this, or has its name.
    Own,
    /// It was used for the same configuration: under another host name, or with other services on the command line.
    Configuration,
    /// It is the only one, and its configuration is gone.
    OnlyOne,
}

impl ExistingIdentity {
    /// `stem`: its name.
    pub(super) fn new(stem: String, record: Option<&Record>, in_use: bool) -> Self {
        let origin = record.map(|record| record.origin.clone());
        let config = origin.as_ref().and_then(|origin| origin.config.as_deref());
        let config_is_there = config.is_some_and(|config| config.exists());
        Self {
            stem,
            origin,
            in_use,
            config_is_there,
        }
    }

    /// Its name.
    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// Whether it may be taken for another configuration than the one that it was used for.
    fn is_left(&self, own: &Origin) -> bool {
        match &self.origin {
            // one that a configuration named is for the configuration that names it
            None => is_invented(&self.stem),
            Some(origin) => origin.machine != own.machine || !self.config_is_there,
        }
    }
}

impl fmt::Display for ExistingIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(origin) = &self.origin else {
            return f.write_str(&self.stem);
        };
        let config = origin
            .config
            .as_ref()
            .map_or("no configuration".to_owned(), |config| {
                config.display().to_string()
            });
        write!(f, "{} (of {config} on {:?})", self.stem, origin.machine)
    }
}

/// Which identity is for `own`; `preferred`: how a new one would be called, `explicit`: because the configuration says so.
pub(super) fn choose(
    own: &Origin,
    preferred: &str,
    explicit: bool,
    known: &[ExistingIdentity],
) -> Choice {
    let taken = |index: usize, why| match known[index].in_use {
        true => Choice::InUse(index),
        false => Choice::Existing(index, why),
    };
    let is_same = |one: &ExistingIdentity| {
        one.origin
            .as_ref()
            .is_some_and(|origin| origin.config == own.config)
    };
    let named = known.iter().position(|one| one.stem == preferred);
    if let Some(index) = named.filter(|_| explicit) {
        return taken(index, Why::Own);
    }
    if let Some(index) = known
        .iter()
        .position(|one| one.origin.as_ref() == Some(own))
    {
        return taken(index, Why::Own);
    }

    if let Some(index) = named.filter(|index| known[*index].origin.is_none()) {
        return taken(index, Why::Own);
    }
    // the same in a container that was created again; if it still runs, the former one has not ended yet
    let has_moved = |one: &ExistingIdentity| {
        is_same(one)
            && one
                .origin
                .as_ref()
                .is_some_and(|origin| origin.services == own.services)
    };

    if let Some(index) = only(known, |one| has_moved(one)) {
        return taken(index, Why::Configuration);
    }
    let is_free = |one: &ExistingIdentity| is_same(one) && !one.in_use;
    let shares = |one: &ExistingIdentity| {
        let services = one.origin.iter().flat_map(|origin| &origin.services);
        is_free(one)
            && services
                .into_iter()
                .any(|service| own.services.contains(service))
    };

    if let Some(index) = only(known, is_free).or_else(|| only(known, shares)) {
        return Choice::Existing(index, Why::Configuration);
    }
    match known {
        [one] if !one.in_use && one.is_left(own) => Choice::Existing(0, Why::OnlyOne),
        _ => Choice::New,
    }
}

/// The only one that fits.
fn only(known: &[ExistingIdentity], fits: impl Fn(&ExistingIdentity) -> bool) -> Option<usize> {
    let mut found = known
        .iter()
        .enumerate()
        .filter(|(_, one)| fits(one))
        .map(|(index, _)| index);
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    fn origin(machine: &str, config: &str, services: &[&str]) -> Origin {
        let config = (!config.is_empty()).then(|| PathBuf::from(config));
        Origin {
            machine: machine.to_owned(),
            config,
            services: services.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// One that was used for `origin`, whose configuration is still there.
    fn known(origin: &Origin) -> ExistingIdentity {
        ExistingIdentity {
            stem: origin.client_id(0),
            origin: Some(origin.clone()),
            in_use: false,
            config_is_there: true,
        }
    }

    fn chosen(own: &Origin, known: &[ExistingIdentity]) -> Choice {
        choose(own, &own.client_id(0), false, known)
    }

    #[test]
    fn a_container_made_anew_finds_its_own() {
        let before = known(&origin("c1", "/etc/miqro.yml", &[]));
        // another host name; and another place of the configuration as well
        for own in [
            origin("c2", "/etc/miqro.yml", &[]),
            origin("c2", "/config/miqro.yml", &[]),
        ] {
            assert!(
                matches!(
                    chosen(&own, std::slice::from_ref(&before)),
                    Choice::Existing(0, _)
                ),
                "{own:?}"
            );
        }

        // the same host name, and the configuration is no longer where it was
        let gone = ExistingIdentity {
            config_is_there: false,
            ..before.clone()
        };
        assert_eq!(
            chosen(&origin("c1", "/x.yml", &[]), &[gone]),
            Choice::Existing(0, Why::OnlyOne)
        );
        // the former container has not ended yet
        let running = ExistingIdentity {
            in_use: true,
            ..before
        };
        assert_eq!(
            chosen(&origin("c2", "/etc/miqro.yml", &[]), &[running]),
            Choice::InUse(0)
        );
    }

    #[test]
    fn one_more_service_on_the_command_line_changes_nothing() {
        let before = known(&origin("m", "/a.yml", &["a"]));
        let other = known(&origin("m", "/a.yml", &["z"]));
        let own = origin("m", "/a.yml", &["a", "b"]);
        assert_eq!(
            chosen(&own, std::slice::from_ref(&before)),
            Choice::Existing(0, Why::Configuration)
        );
        assert_eq!(
            chosen(&own, &[other.clone(), before.clone()]),
            Choice::Existing(1, Why::Configuration)
        );
        // without any configuration too
        let without = known(&origin("m", "", &["a"]));
        assert_eq!(
            chosen(&origin("m", "", &["a", "b"]), &[without]),
            Choice::Existing(0, Why::Configuration)
        );
        // neither of them is certainly its own
        assert_eq!(
            chosen(&origin("m", "/a.yml", &["q"]), &[other, before]),
            Choice::New
        );
    }

    #[test]
    fn two_configurations_of_one_user_do_not_share_one() {
        let first = known(&origin("m", "/a.yml", &[]));
        assert_eq!(
            chosen(&origin("m", "/b.yml", &[]), std::slice::from_ref(&first)),
            Choice::New
        );
        // nor two hosts of one configuration with other services
        let running = ExistingIdentity {
            in_use: true,
            ..known(&origin("m", "/a.yml", &["a"]))
        };
        assert_eq!(
            chosen(
                &origin("m", "/a.yml", &["b"]),
                std::slice::from_ref(&running)
            ),
            Choice::New
        );

        // and the same one twice is an error
        assert_eq!(
            chosen(&origin("m", "/a.yml", &["a"]), &[running]),
            Choice::InUse(0)
        );
    }

    #[test]
    fn identities_from_hosts_without_records_are_found() {
        let own = origin("m", "/a.yml", &[]);
        let legacy = |stem: &str| ExistingIdentity {
            stem: stem.to_owned(),
            origin: None,
            in_use: false,
            config_is_there: false,
        };

        let other = legacy("miqro0123456789abcdef");
        assert_eq!(
            chosen(&own, &[other.clone(), legacy(&own.client_id(0))]),
            Choice::Existing(1, Why::Own)
        );
        assert_eq!(
            chosen(&own, std::slice::from_ref(&other)),
            Choice::Existing(0, Why::OnlyOne)
        );
        assert_eq!(chosen(&own, &[other.clone(), other.clone()]), Choice::New);
        // of one that has a name only the configuration with that name is the owner
        assert_eq!(chosen(&own, &[legacy("house")]), Choice::New);
        assert_eq!(
            choose(&own, "house", true, &[other, legacy("house")]),
            Choice::Existing(1, Why::Own)
        );
    }

    proptest! {
        /// An identity that another host uses is never taken, and this host's own always is.
        #[test]
        fn identities_in_use_are_left_and_own_ones_adopted(
            there in prop::collection::vec((0..3u8, 0..3u8, 0..3u8, any::<bool>(), any::<bool>(), any::<bool>()), 0..6),
            own in (0..3u8, 0..3u8, 0..3u8),
        ) {
            let made = |(machine, config, service): (u8, u8, u8)| {
                let config = if config == 0 { String::new() } else { format!("/{config}.yml") };
                origin(&machine.to_string(), &config, &[&service.to_string()])
            };
            let all: Vec<ExistingIdentity> = there.into_iter().map(|(machine, config, service, in_use, config_is_there, legacy)| {
                let known = known(&made((machine, config, service)));
                let origin = known.origin.clone().filter(|_| !legacy);
                ExistingIdentity { origin, in_use, config_is_there, ..known }
            }).collect();
            let own = made(own);
            let choice = chosen(&own, &all);
            if let Choice::Existing(index, _) = choice {
                prop_assert!(!all[index].in_use);
            }
            if let Some(known) = all.iter().find(|known| known.origin.as_ref() == Some(&own)) {
                prop_assert_eq!(matches!(choice, Choice::InUse(_)), known.in_use);
                prop_assert!(choice != Choice::New);
            }
        }
    }
}
