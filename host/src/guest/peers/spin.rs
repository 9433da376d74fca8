//! Spin's `mqtt`: a connection is the session of the host, at any address.

use wasmtime::component::Resource;

use crate::guest::bindings::miqro::service::messaging::Qos as ContractQos;
use crate::guest::store::StoreData;

use super::bindings::fermyon::spin::mqtt::{Error, Host, HostConnection, Payload, Qos};
use super::outgoing::{messaging_text, no_properties};
use super::resources::Connection;

impl Host for StoreData {}

impl HostConnection for StoreData {
    fn open(
        &mut self,
        address: String,
        _username: String,
        _password: String,
        _keep_alive_seconds: u64,
    ) -> wasmtime::Result<Result<Resource<Connection>, Error>> {
        tracing::debug!(
            target: "miqro::guest",
            "the guest connects to {address:?}; its messages go through the session of the host"
        );
        Ok(Ok(self.resources().push(Connection)?))
    }

    fn publish(
        &mut self,
        connection: Resource<Connection>,
        topic: String,
        payload: Payload,
        qos: Qos,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.resources().get(&connection)?;
        let qos = match qos {
            Qos::AtMostOnce => ContractQos::AtMostOnce,
            Qos::AtLeastOnce => ContractQos::AtLeastOnce,
            Qos::ExactlyOnce => ContractQos::ExactlyOnce,
        };
        let published = self.publish_of_peer(topic, payload, qos, no_properties());
        Ok(published.map_err(|error| Error::Other(messaging_text(error))))
    }

    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.resources().delete(connection)?;
        Ok(())
    }
}
