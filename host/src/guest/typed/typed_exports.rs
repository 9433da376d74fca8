//! The typed interfaces of one instance: its functions, and the values of its properties as they were last published.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::component::Func;

use crate::guest::request::WatchGuard;
use crate::typed::binding::Binding;

/// The typed interfaces of an instance.
pub(in crate::guest) struct TypedExports {
    /// The interfaces as the configuration binds them.
    pub(super) binding: Arc<Binding>,
    /// The functions of the exported interfaces: by interface, by function.
    pub(super) functions: Vec<Vec<Func>>,
    /// The last published values of the properties: by served interface, by property.
    pub(super) published: Vec<Vec<Option<Bytes>>>,
    /// Keeps the values of the properties of called interfaces.
    _watches: Vec<WatchGuard>,
}

impl TypedExports {
    /// The interfaces of an instance that has published nothing yet.
    pub(in crate::guest) fn new(
        binding: Arc<Binding>,
        functions: Vec<Vec<Func>>,
        watches: Vec<WatchGuard>,
    ) -> Self {
        let published = binding
            .served
            .iter()
            .map(|served| vec![None; served.mapping.properties.len()])
            .collect();
        Self {
            binding,
            functions,
            published,
            _watches: watches,
        }
    }

    /// Forgets the published values, so that all are published again.
    pub(super) fn forget_published(&mut self) {
        self.published
            .iter_mut()
            .flatten()
            .for_each(|value| *value = None);
    }
}
