//! `wasi:keyvalue/store`: the state of the service, within the transaction of the call. The bucket `default` is the state itself, as
//! the one without a name is; any other bucket has the keys that begin with its name and a slash.

use wasmtime::component::Resource;

use crate::guest::bindings::miqro::service::state::{Host as ContractState, StateError};
use crate::guest::store::StoreData;

use super::resources::Bucket;

impl StoreData {
    /// The key of the state for a key of a bucket.
    fn state_key(&mut self, bucket: &Resource<Bucket>, key: &str) -> wasmtime::Result<String> {
        Ok(format!("{}{key}", self.resources().get(bucket)?.prefix))
    }

    /// All keys of a bucket.
    fn bucket_keys(
        &mut self,
        bucket: &Resource<Bucket>,
    ) -> wasmtime::Result<Result<Vec<String>, StateError>> {
        let prefix = self.resources().get(bucket)?.prefix.clone();
        let keys = ContractState::keys(self, prefix.clone());
        let without_prefix = |key: String| key.get(prefix.len()..).unwrap_or_default().to_owned();
        Ok(keys.map(|keys| keys.into_iter().map(without_prefix).collect()))
    }
}

fn text(error: StateError) -> String {
    match error {
        StateError::InvalidKey(text) | StateError::Limit(text) | StateError::Unavailable(text) => {
            text
        }
    }
}

/// Implements one version of the interface; they differ in the type of a cursor, which this host never returns: all keys come at once.
macro_rules! implement {
    ($store:path, $cursor:ty) => {
        const _: () = {
            use $store as store;

            fn other(error: StateError) -> store::Error {
                store::Error::Other(text(error))
            }

            impl store::Host for StoreData {
                fn open(
                    &mut self,
                    identifier: String,
                ) -> wasmtime::Result<Result<Resource<Bucket>, store::Error>> {
                    Ok(Ok(self.resources().push(Bucket::new(&identifier))?))
                }
            }

            impl store::HostBucket for StoreData {
                fn get(
                    &mut self,
                    bucket: Resource<Bucket>,
                    key: String,
                ) -> wasmtime::Result<Result<Option<Vec<u8>>, store::Error>> {
                    let key = self.state_key(&bucket, &key)?;
                    Ok(ContractState::get(self, key).map_err(other))
                }

                fn set(
                    &mut self,
                    bucket: Resource<Bucket>,
                    key: String,
                    value: Vec<u8>,
                ) -> wasmtime::Result<Result<(), store::Error>> {
                    let key = self.state_key(&bucket, &key)?;
                    Ok(ContractState::set(self, key, value).map_err(other))
                }

                fn delete(
                    &mut self,
                    bucket: Resource<Bucket>,
                    key: String,
                ) -> wasmtime::Result<Result<(), store::Error>> {
                    let key = self.state_key(&bucket, &key)?;
                    Ok(ContractState::delete(self, key).map_err(other))
                }

                fn exists(
                    &mut self,
                    bucket: Resource<Bucket>,
                    key: String,
                ) -> wasmtime::Result<Result<bool, store::Error>> {
                    let key = self.state_key(&bucket, &key)?;
                    Ok(ContractState::get(self, key)
                        .map(|value| value.is_some())
                        .map_err(other))
                }

                fn list_keys(
                    &mut self,
                    bucket: Resource<Bucket>,
                    cursor: Option<$cursor>,
                ) -> wasmtime::Result<Result<store::KeyResponse, store::Error>> {
                    if cursor.is_some() {
                        let text = "expected no cursor, because all keys come at once".to_owned();
                        return Ok(Err(store::Error::Other(text)));
                    }
                    let keys = self.bucket_keys(&bucket)?;
                    let response = keys.map(|keys| store::KeyResponse { keys, cursor: None });
                    Ok(response.map_err(other))
                }

                fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
                    self.resources().delete(bucket)?;
                    Ok(())
                }
            }
        };
    };
}

implement!(super::bindings::wasi::keyvalue0_2_0_draft::store, u64);
implement!(super::bindings::wasi::keyvalue0_2_0_draft2::store, String);
