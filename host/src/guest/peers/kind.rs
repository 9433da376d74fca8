//! The peers by their contracts: the export that takes a message, and the imports that the host offers to their guests.

use std::fmt;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

/// A system whose guests run here unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// wasmCloud.
    WasmCloud,
    /// A host of WASI's messaging.
    WasiMessaging,
    /// Spin, with its trigger for MQTT.
    Spin,
}

/// The export of a guest that takes a message.
#[derive(Clone, Copy)]
pub(in crate::guest) struct PeerExport {
    pub(in crate::guest) peer: Peer,
    pub(in crate::guest) index: ComponentExportIndex,
}

/// The interfaces that the host offers to guests of peers, sorted.
const OFFERED: [&str; 11] = [
    "fermyon:spin/mqtt@2.0.0",
    "wasi:config/store@0.2.0-draft",
    "wasi:config/store@0.2.0-rc.1",
    "wasi:keyvalue/store@0.2.0-draft",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:logging/logging@0.1.0-draft",
    "wasi:messaging/producer@0.2.0-draft",
    "wasi:messaging/request-reply@0.2.0-draft",
    "wasi:messaging/types@0.2.0-draft",
    "wasmcloud:messaging/consumer@0.2.0",
    "wasmcloud:messaging/types@0.2.0",
];

/// The packages of the peers' contracts, besides those of WASI.
const PACKAGES: [&str; 3] = ["fermyon:spin", "spin:mqtt-trigger", "wasmcloud:messaging"];

/// Whether `package` is a contract of a peer, so that its interfaces are not for the network.
pub(in crate::guest) fn is_package(package: &str) -> bool {
    PACKAGES.contains(&package)
}

/// Whether the host offers the import `name`.
pub(in crate::guest) fn is_offered(name: &str) -> bool {
    OFFERED.contains(&name)
}

/// The offered interfaces of the package of `name`, as in `wasi:config`; empty when the host knows none.
pub(in crate::guest) fn offered(name: &str) -> String {
    let package = name.split('/').next().unwrap_or_default();
    let of_package = |offered: &&&str| offered.split('/').next() == Some(package);
    let names: Vec<&str> = OFFERED.iter().filter(of_package).copied().collect();
    names.join(", ")
}

/// Finds the export of a peer, with its function.
pub(in crate::guest) fn find(component: &Component) -> Option<(PeerExport, ComponentFunc)> {
    let mut peers = Peer::ALL.into_iter();
    peers.find_map(|peer| {
        let (interface, function) = peer.export();
        let instance = match interface {
            Some(interface) => Some(component.get_export_index(None, interface)?),
            None => None,
        };
        match component.get_export(instance.as_ref(), function)? {
            (ComponentItem::ComponentFunc(function), index) => {
                Some((PeerExport { peer, index }, function))
            }
            _ => None,
        }
    })
}

impl Peer {
    const ALL: [Self; 3] = [Self::WasmCloud, Self::WasiMessaging, Self::Spin];

    /// The interface and the name of the function that takes a message; without an interface, the component exports it itself.
    const fn export(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::WasmCloud => (Some("wasmcloud:messaging/handler@0.2.0"), "handle-message"),
            Self::WasiMessaging => (
                Some("wasi:messaging/incoming-handler@0.2.0-draft"),
                "handle",
            ),
            Self::Spin => (None, "handle-message"),
        }
    }

    /// The type of that function, as the contract check spells it.
    pub(in crate::guest) const fn shape(self) -> &'static str {
        match self {
            Self::WasmCloud => {
                "func(record{subject: string, body: list<u8>, reply-to: option<string>}) -> result<_, string>"
            }
            Self::WasiMessaging => {
                "func(own) -> result<_, variant{timeout, connection(string), permission-denied(string), other(string)}>"
            }
            Self::Spin => {
                "func(list<u8>, record{topic: string}) -> result<_, variant{other(string)}>"
            }
        }
    }

    /// The contract that its guests speak, as a package of WIT.
    pub const fn contract(self) -> &'static str {
        match self {
            Self::WasmCloud => "wasmcloud:messaging@0.2.0",
            Self::WasiMessaging => "wasi:messaging@0.2.0-draft",
            Self::Spin => "spin:mqtt-trigger",
        }
    }

    /// The export that takes a message, as users know it.
    pub fn export_name(self) -> String {
        match self.export() {
            (Some(interface), function) => format!("{interface}.{function}"),
            (None, function) => function.to_owned(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WasmCloud => "wasmCloud",
            Self::WasiMessaging => "WASI messaging",
            Self::Spin => "Spin's MQTT trigger",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offered_interfaces_are_found_by_package() {
        assert!(is_offered("wasi:config/store@0.2.0-rc.1"));
        assert!(!is_offered("wasi:config/store@0.3.0"));
        assert_eq!(
            offered("wasi:config/runtime@0.2.0-draft"),
            "wasi:config/store@0.2.0-draft, wasi:config/store@0.2.0-rc.1"
        );
        assert_eq!(offered("wasi:nn/types"), "");
    }

    #[test]
    fn peers_own_the_packages_of_their_contracts_only() {
        let contracts = Peer::ALL.map(Peer::contract).into_iter();
        for name in contracts.chain(OFFERED) {
            let package = name.split(['/', '@']).next().unwrap_or_default();
            assert!(
                is_package(package) != package.starts_with("wasi:"),
                "{name}"
            );
        }

        assert!(!is_package("wasmcloud:devices"));
        assert!(!is_package("spin:washer"));
    }
}
