//! The typed interfaces of one service: those of its component, bound as the configuration says.
//!
//! A binding is made when an instance is made, with every topic. A message finds its member, and an imported function its target,
//! by one look-up.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::{Call, NetworkInterface, Serve, TypedInterfaces, VoidAnswer};
use crate::message::{Qos, Subscription};
use crate::topic::{Filter, Topic, TopicError};

use super::interface::{ComponentInterfaces, Interface, InterfaceId};
use super::mapping::Mapping;

mod error;

use error::missing;
pub use error::{BindingError, MissingInterface};

/// The typed interfaces of a service.
#[derive(Debug, Default)]
pub struct Binding {
    /// The interfaces that it serves.
    pub served: Vec<ServedInterface>,
    /// The interfaces that it calls.
    pub called: Vec<CalledInterface>,
    /// The targets of the functions that the component imports: by interface, by function.
    pub imports: Vec<Vec<Target>>,
    members: HashMap<Topic, Member>,
}

/// An interface that a service serves.
#[derive(Debug)]
pub struct ServedInterface {
    /// The interface on the network.
    pub mapping: Mapping,
    /// The position of the interface among the exports.
    pub export: usize,
    /// The answer of operations without a result.
    pub void_answer: VoidAnswer,
    /// The group of providers that share the calls.
    pub share: Option<String>,
    /// The QoS of properties and signals.
    pub qos: Qos,
}

/// An interface that a service calls.
#[derive(Debug)]
pub struct CalledInterface {
    /// The interface on the network.
    pub mapping: Mapping,
    /// The position of the interface among the exports that handles its signals.
    pub handler: Option<usize>,
    /// How long a call waits.
    pub deadline: Duration,
    /// Whether an operation without a result waits for an answer.
    pub awaits_void: bool,
    /// Whether calls to a service of this host skip the broker.
    pub is_local: bool,
    /// Whether the service itself serves the interface, so that nobody could answer a call while it waits.
    pub is_own: bool,
    /// The QoS of calls and of requests to set a property.
    pub qos: Qos,
}

/// The member that a message is for. The first number is that of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// A call of an operation that is served.
    Operation(usize, usize),
    /// A request to set a property that is served.
    Set(usize, usize),
    /// A signal of an interface that is called.
    Signal(usize, usize),
    /// A call of something that a served interface does not have.
    Unknown(usize),
}

/// The target of an imported function. The first number is that of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An operation of an interface that is called.
    Operation(usize, usize),
    /// The value of a property of an interface that is called.
    Get(usize, usize),
    /// A request to set a property of an interface that is called.
    Set(usize, usize),
    /// A signal of an interface that is served.
    Emit(usize, usize),
}

impl Binding {
    /// Binds the interfaces of a component.
    ///
    /// # Errors
    /// When the configuration names an interface that is not there, an import stays without a target, or an interface has no mapping.
    pub fn new(
        interfaces: &ComponentInterfaces,
        typed: &TypedInterfaces,
    ) -> Result<Self, BindingError> {
        let mut binding = Self::default();
        for call in &typed.call {
            binding.called.push(bind_called(interfaces, call)?);
        }
        for serve in serves(interfaces, typed) {
            binding.served.push(bind_served(interfaces, &serve)?);
        }
        binding.find_own_calls();

        let imports = interfaces.imports.iter();
        let targets: Result<_, _> = imports
            .map(|import| binding.targets(import, typed))
            .collect();
        binding.imports = targets?;
        binding.index()?;
        binding.subscriptions()?;
        Ok(binding)
    }

    /// Whether there is nothing to serve and nothing to call.
    pub fn is_empty(&self) -> bool {
        self.served.is_empty() && self.called.is_empty()
    }

    /// Whether the service has properties for others.
    pub fn has_properties(&self) -> bool {
        let mut served = self.served.iter();
        served.any(|served| !served.mapping.properties.is_empty())
    }

    /// The member that a message on `topic` is for; `None`: it is for `handle`.
    pub fn member(&self, topic: &Topic) -> Option<Member> {
        if let Some(member) = self.members.get(topic) {
            return Some(*member);
        }
        let is_call = |served: &ServedInterface| {
            let rest = topic.as_str().strip_prefix(served.mapping.prefix.as_str());
            let member = rest.and_then(|rest| {
                rest.strip_prefix("/rpc/")
                    .or_else(|| rest.strip_prefix("/set/"))
            });
            member.is_some_and(|member| !member.contains('/'))
        };

        self.served.iter().position(is_call).map(Member::Unknown)
    }

    /// The subscriptions that the members need.
    ///
    /// # Errors
    /// When a topic becomes too long.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>, TopicError> {
        let mut subscriptions = Vec::new();
        for served in &self.served {
            let mapping = &served.mapping;
            let calls = (!mapping.operations.is_empty()).then(|| mapping.calls());
            let sets = (!mapping.properties.is_empty()).then(|| mapping.sets());
            for filter in [calls, sets].into_iter().flatten() {
                let filter = match &served.share {
                    Some(group) => Filter::new(&format!("$share/{group}/{}", filter?))?,
                    None => filter?,
                };
                // the highest QoS: a message comes with the lower one of this and its own
                let qos = Qos::ExactlyOnce;
                subscriptions.push(Subscription { filter, qos });
            }
        }

        for called in self.called.iter().filter(|called| called.handler.is_some()) {
            subscriptions.push(Subscription {
                filter: called.mapping.emissions()?,
                qos: Qos::ExactlyOnce,
            });
        }

        Ok(subscriptions)
    }

    /// The filters of the properties that the service may read.
    pub fn watched_filters(&self) -> Vec<Filter> {
        let called = self.called.iter();
        called
            .filter(|called| !called.mapping.properties.is_empty())
            .filter_map(|called| called.mapping.values().ok())
            .collect()
    }

    /// The targets of the functions of one import.
    fn targets(
        &self,
        import: &Interface,
        typed: &TypedInterfaces,
    ) -> Result<Vec<Target>, BindingError> {
        let is = |network: &NetworkInterface| network.interface.names(&import.id);
        if let Some(index) = typed.call.iter().position(|call| is(&call.network)) {
            return Ok(call_targets(index, &self.called[index].mapping, import));
        }

        let emitted = |served: &ServedInterface| {
            let mut signals = served.mapping.signals_of.iter();
            signals.any(|signals| *signals == import.id)
        };
        match self.served.iter().position(emitted) {
            Some(index) => Ok((0..import.functions.len())
                .map(|signal| Target::Emit(index, signal))
                .collect()),
            None => Err(BindingError::Unbound(Box::new(import.id.clone()))),
        }
    }

    /// Finds the called interfaces that the service serves itself. Of a shared one, another host may answer.
    fn find_own_calls(&mut self) {
        for called in &mut self.called {
            let mut served = self.served.iter();
            let prefix = &called.mapping.prefix;
            let Some(own) = served.find(|served| served.mapping.prefix == *prefix) else {
                continue;
            };
            called.is_own = own.share.is_none();
            called.is_local = false;
        }
    }

    /// Fills the table of topics.
    fn index(&mut self) -> Result<(), BindingError> {
        let mut members: Vec<(&Topic, Member)> = Vec::new();
        for (index, served) in self.served.iter().enumerate() {
            let operations = served.mapping.operations.iter().enumerate();
            members.extend(operations.map(|(at, it)| (&it.topic, Member::Operation(index, at))));
            let properties = served.mapping.properties.iter().enumerate();
            members.extend(properties.map(|(at, it)| (&it.set_topic, Member::Set(index, at))));
        }

        let called = self.called.iter().enumerate();
        for (index, called) in called.filter(|(_, called)| called.handler.is_some()) {
            let signals = called.mapping.signals.iter().enumerate();
            members.extend(signals.map(|(at, it)| (&it.topic, Member::Signal(index, at))));
        }

        let mut table = HashMap::with_capacity(members.len());
        for (topic, member) in members {
            if table.insert(topic.clone(), member).is_some() {
                return Err(BindingError::Twice(topic.clone()));
            }
        }
        self.members = table;
        Ok(())
    }
}

/// The interfaces to serve: those of the configuration, or all that are exported and do not handle signals.
fn serves(interfaces: &ComponentInterfaces, typed: &TypedInterfaces) -> Vec<Serve> {
    if let Some(serve) = &typed.serve {
        return serve.clone();
    }
    let handles_signals = |id: &InterfaceId| {
        let mut calls = typed.call.iter();
        calls.any(|call| call.network.signals().names(id))
    };
    let exports = interfaces.exports.iter().map(|export| &export.id);
    exports
        .filter(|id| !handles_signals(id))
        .map(|id| Serve::new(id.clone()))
        .collect()
}

fn bind_served(
    interfaces: &ComponentInterfaces,
    serve: &Serve,
) -> Result<ServedInterface, BindingError> {
    let network = &serve.network;
    let exports = &interfaces.exports;
    let export = position(exports, &network.interface)
        .ok_or_else(|| missing("serve", "export", &network.interface, exports))?;
    let signals = signals(network, &interfaces.imports, ("serve", "import"))?;

    let signals = signals.map(|index| &interfaces.imports[index]);
    Ok(ServedInterface {
        mapping: Mapping::new(&exports[export], signals, &network.naming)?,
        export,
        void_answer: serve.void_answer,
        share: serve.share.clone(),
        qos: network.qos,
    })
}

/// An interface that is called may also be used for its signals alone.
fn bind_called(
    interfaces: &ComponentInterfaces,
    call: &Call,
) -> Result<CalledInterface, BindingError> {
    let network = &call.network;
    let handler = signals(network, &interfaces.exports, ("call", "export"))?;
    let import = position(&interfaces.imports, &network.interface);

    let without_functions = Interface {
        id: network.interface.clone(),
        functions: Vec::new(),
        unsupported: None,
    };
    let interface = match (import, handler) {
        (Some(index), _) => &interfaces.imports[index],
        (None, Some(_)) => &without_functions,
        (None, None) => {
            let imports = &interfaces.imports;
            return Err(missing("call", "import", &network.interface, imports));
        }
    };

    let signals = handler.map(|index| &interfaces.exports[index]);
    Ok(CalledInterface {
        mapping: Mapping::new(interface, signals, &network.naming)?,
        handler,
        deadline: call.deadline,
        awaits_void: call.awaits_void,
        is_local: call.is_local,
        is_own: false,
        qos: network.qos,
    })
}

/// The position of the interface with the signals of another one. The configuration may name it; then it has to be there.
fn signals(
    network: &NetworkInterface,
    present: &[Interface],
    (key, verb): (&'static str, &'static str),
) -> Result<Option<usize>, BindingError> {
    let found = position(present, &network.signals());
    match &network.signals {
        Some(named) if found.is_none() => Err(missing(key, verb, named, present)),
        _ => Ok(found),
    }
}

fn position(interfaces: &[Interface], wanted: &InterfaceId) -> Option<usize> {
    interfaces
        .iter()
        .position(|interface| wanted.names(&interface.id))
}

/// The targets of the functions of an interface that is called.
fn call_targets(index: usize, mapping: &Mapping, import: &Interface) -> Vec<Target> {
    let target = |function: usize| {
        let properties = mapping.properties.iter().enumerate();
        for (at, property) in properties {
            let setter = property.setter.as_ref().map(|setter| setter.function);
            if property.getter == function {
                return Target::Get(index, at);
            }
            if setter == Some(function) {
                return Target::Set(index, at);
            }
        }

        let mut operations = mapping.operations.iter();
        let at = operations.position(|operation| operation.function == function);
        Target::Operation(index, at.unwrap_or_default())
    };

    (0..import.functions.len()).map(target).collect()
}

#[cfg(test)]
mod tests;
