//! Handlers, loops and timers that are added and removed while the service runs, besides the annotated methods. Changes take effect when
//! the call that made them succeeds, as the host's do.

use std::any::Any;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use crate::error::Result;
use crate::message::Message;
use crate::service::{Service, Timing};

/// A handler of a service of any type.
pub(crate) type Handle = Rc<dyn Fn(&mut dyn Any, &Message<'_>) -> Result>;
type Tick = Rc<dyn Fn(&mut dyn Any, &str) -> Result<ControlFlow<()>>>;

/// A handler that was added at run time.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) id: u64,
    pub(crate) filter: String,
    pub(crate) global: bool,
    pub(crate) handle: Handle,
    /// Which part of the SDK added it; 0: the service.
    owner: usize,
}

/// A loop that can be restarted, or a method for one-shot timers that was added at run time.
#[derive(Clone)]
pub(crate) struct Clockwork {
    pub(crate) name: String,
    /// `None`: one-shot timers.
    pub(crate) timing: Option<Timing>,
    /// `None`: an annotated method, which the runtime finds in the service's table.
    pub(crate) tick: Option<Tick>,
}

#[derive(Clone)]
enum Change {
    Add(Route),
    Remove(u64),
    Wind(Clockwork),
    Unwind(String),
}

#[derive(Default)]
struct Registry {
    routes: Vec<Route>,
    clockworks: Vec<Clockwork>,
    changes: Vec<Change>,
    last_id: u64,
}

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::default();
}

/// Turns a closure over a service into one over anything; a service of another type has no such handler.
pub(crate) fn erase<S: Service>(
    handle: impl Fn(&mut S, &Message<'_>) -> Result + 'static,
) -> Handle {
    Rc::new(move |service, message| {
        service
            .downcast_mut()
            .map_or(Ok(()), |service| handle(service, message))
    })
}

/// As [`erase`], for timers.
pub(crate) fn erase_tick<S: Service>(
    tick: impl Fn(&mut S, &str) -> Result<ControlFlow<()>> + 'static,
) -> Tick {
    Rc::new(move |service, name| {
        service
            .downcast_mut()
            .map_or(Ok(ControlFlow::Break(())), |service| tick(service, name))
    })
}

pub(crate) fn add_route(filter: &str, global: bool, handle: Handle) -> u64 {
    with(|registry| {
        registry.last_id += 1;
        let id = registry.last_id;
        registry.changes.push(Change::Add(Route {
            id,
            filter: filter.to_owned(),
            global,
            handle,
            owner: 0,
        }));

        id
    })
}

/// Adds a route unless `owner` has one for this filter; says whether it did.
pub(crate) fn ensure_route(filter: &str, global: bool, owner: usize, handle: Handle) -> bool {
    with(|registry| {
        let same = |route: &Route| {
            route.owner == owner && route.filter == filter && route.global == global
        };
        if registry.after().iter().any(same) {
            return false;
        }
        registry.last_id += 1;
        let id = registry.last_id;
        registry.changes.push(Change::Add(Route {
            id,
            filter: filter.to_owned(),
            global,
            handle,
            owner,
        }));

        true
    })
}

/// Removes a route; returns its filter when no other route has it.
pub(crate) fn remove_route(id: u64) -> Option<(String, bool)> {
    with(|registry| {
        let routes = registry.after();
        let gone = routes.iter().find(|route| route.id == id)?;
        registry.changes.push(Change::Remove(id));
        let same = |route: &Route| route.filter == gone.filter && route.global == gone.global;
        let alone = routes.iter().filter(|route| same(route)).count() == 1;
        alone.then(|| (gone.filter.clone(), gone.global))
    })
}

pub(crate) fn wind(clockwork: Clockwork) {
    with(|registry| registry.changes.push(Change::Wind(clockwork)));
}

pub(crate) fn unwind(name: &str) {
    with(|registry| registry.changes.push(Change::Unwind(name.to_owned())));
}

/// When the loop `name` runs, as this call has left it.
pub(crate) fn timing(name: &str) -> Option<Timing> {
    with(|registry| {
        let added = registry
            .changes
            .iter()
            .rev()
            .find_map(|change| match change {
                Change::Wind(clockwork) if clockwork.name == name => Some(clockwork.timing),
                Change::Unwind(gone) if gone == name => Some(None),
                _ => None,
            });
        added.unwrap_or_else(|| {
            registry
                .clockworks
                .iter()
                .find(|own| own.name == name)
                .and_then(|own| own.timing)
        })
    })
}

pub(crate) fn routes() -> Vec<Route> {
    with(|registry| registry.routes.clone())
}

pub(crate) fn has_routes() -> bool {
    with(|registry| !registry.routes.is_empty())
}

pub(crate) fn clockworks() -> Vec<Clockwork> {
    with(|registry| registry.clockworks.clone())
}

/// Ends a call: its additions and removals take effect if it succeeded.
pub(crate) fn finish(well: bool) {
    with(|registry| {
        let changes = std::mem::take(&mut registry.changes);
        if well {
            changes
                .into_iter()
                .for_each(|change| registry.apply(change));
        }
    });
}

/// Forgets everything, for a service that starts again.
pub(crate) fn reset() {
    with(|registry| *registry = Registry::default());
}

fn with<T>(act: impl FnOnce(&mut Registry) -> T) -> T {
    REGISTRY.with_borrow_mut(act)
}

impl Registry {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(route) => self.routes.push(route),
            Change::Remove(id) => self.routes.retain(|route| route.id != id),
            Change::Wind(clockwork) => {
                self.clockworks.retain(|own| own.name != clockwork.name);
                self.clockworks.push(clockwork);
            }
            Change::Unwind(name) => self.clockworks.retain(|own| own.name != name),
        }
    }

    /// The routes as they will be when this call ends well.
    fn after(&self) -> Vec<Route> {
        let mut registry = Self {
            routes: self.routes.clone(),
            ..Self::default()
        };
        self.changes
            .iter()
            .cloned()
            .for_each(|change| registry.apply(change));
        registry.routes
    }
}
