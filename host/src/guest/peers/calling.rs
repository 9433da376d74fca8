//! Calls of guests of peers: a message becomes the argument of the peer's export, and its error the text of the contract.

use wasmtime::component::{ComponentType, Func, Lower, Resource};
use wasmtime::{AsContextMut, Store};

use crate::guest::store::StoreData;
use crate::message::Message;

use super::Peer;
use super::bindings::wasi::messaging::types::Error as WasiError;
use super::bindings::wasmcloud::messaging::types::BrokerMessage;
use super::resources::PeerMessage;

/// The export of an instance that takes a message.
#[derive(Clone, Copy)]
pub(in crate::guest) struct PeerFunction {
    pub(in crate::guest) peer: Peer,
    pub(in crate::guest) function: Func,
}

/// The metadata of a message for Spin.
#[derive(ComponentType, Lower)]
#[component(record)]
struct SpinMetadata {
    topic: String,
}

/// The error of a guest of Spin.
#[derive(ComponentType, wasmtime::component::Lift)]
#[component(variant)]
enum SpinError {
    #[component(name = "other")]
    Other(String),
}

impl PeerFunction {
    /// Calls it with the message being handled.
    ///
    /// # Errors
    /// When the guest traps.
    pub(in crate::guest) async fn call(
        self,
        store: &mut Store<StoreData>,
    ) -> wasmtime::Result<Result<(), String>> {
        let current = store.data().call.current.as_ref();
        let Some(message) = current.map(|current| current.message.clone()) else {
            return Ok(Ok(()));
        };
        match self.peer {
            Peer::WasmCloud => self.call_wasmcloud(store, &message).await,
            Peer::WasiMessaging => self.call_wasi(store, &message).await,
            Peer::Spin => self.call_spin(store, &message).await,
        }
    }

    async fn call_wasmcloud(
        self,
        store: &mut Store<StoreData>,
        message: &Message,
    ) -> wasmtime::Result<Result<(), String>> {
        let properties = message.properties.as_deref();
        let response_topic = properties.and_then(|found| found.response_topic.as_ref());
        let message = BrokerMessage {
            subject: message.topic.as_str().to_owned(),
            body: message.payload.to_vec(),
            reply_to: response_topic.map(|topic| topic.as_str().to_owned()),
        };
        let function = self
            .function
            .typed::<(BrokerMessage,), (Result<(), String>,)>(&*store)?;
        let (result,) = function.call_async(store, (message,)).await?;
        Ok(result)
    }

    async fn call_wasi(
        self,
        store: &mut Store<StoreData>,
        message: &Message,
    ) -> wasmtime::Result<Result<(), String>> {
        let message = PeerMessage::from(message);
        let message = store
            .as_context_mut()
            .data_mut()
            .resources()
            .push(message)?;
        let function = self
            .function
            .typed::<(Resource<PeerMessage>,), (Result<(), WasiError>,)>(&*store)?;
        let (result,) = function.call_async(store, (message,)).await?;
        Ok(result.map_err(|error| match error {
            WasiError::Timeout => "timeout".to_owned(),
            WasiError::Connection(text)
            | WasiError::PermissionDenied(text)
            | WasiError::Other(text) => text,
        }))
    }

    async fn call_spin(
        self,
        store: &mut Store<StoreData>,
        message: &Message,
    ) -> wasmtime::Result<Result<(), String>> {
        let metadata = SpinMetadata {
            topic: message.topic.as_str().to_owned(),
        };
        let function = self
            .function
            .typed::<(&[u8], SpinMetadata), (Result<(), SpinError>,)>(&*store)?;
        let (result,) = function
            .call_async(store, (&message.payload, metadata))
            .await?;
        Ok(result.map_err(|SpinError::Other(text)| text))
    }
}
