//! Signatures of component files, in the format of minisign. `minisign_verify` is named here only.

use std::fmt;
use std::path::{Path, PathBuf};

use minisign_verify::{Error, PublicKey, Signature};

/// Suffix of a signature file, after the name of the signed file.
const SUFFIX: &str = ".minisig";

/// A key whose signatures are trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    base64: String,
    key: PublicKey,
}

/// The reason why a signature is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("it is not signed: there is no {0}; only signed components run, since trust has keys")]
    Missing(PathBuf),
    /// It cannot be read as one.
    #[error("its signature {0} is not in the format of minisign: {1}")]
    Malformed(PathBuf, String),
    /// It is made with another key.
    #[error("its signature {0} is made with a key that trust does not have")]
    Unknown(PathBuf),
    /// The file or the signature was altered.
    #[error(
        "its signature {0} does not fit: the file or the signature was altered, or one of them is newer than the other"
    )]
    Altered(PathBuf),
}

/// A text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a minisign public key: {0}")]
pub struct KeyError(String);

impl Key {
    /// Reads a key: the base64 of minisign's `.pub` file alone, or the whole text of such a file.
    ///
    /// # Errors
    /// When it is not a key.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let base64 = text
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .unwrap_or_default();
        let key = PublicKey::from_base64(base64).map_err(|error| KeyError(error.to_string()))?;
        Ok(Self {
            base64: base64.to_owned(),
            key,
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base64)
    }
}

/// The signature file of `file`.
pub fn file_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

/// The file that `signature` would be for, if its name is that of a signature.
pub fn signed_by(signature: &Path) -> Option<PathBuf> {
    Some(PathBuf::from(signature.to_str()?.strip_suffix(SUFFIX)?))
}

/// Whether `bytes` have a valid signature of one of `keys` in the file `signature`, whose content is `text`; `None`: there is no such
/// file.
///
/// # Errors
/// If the signature is not valid; the error says why.
pub fn verify(
    keys: &[Key],
    bytes: &[u8],
    signature: &Path,
    text: Option<&str>,
) -> Result<(), SignatureError> {
    let path = || signature.to_owned();
    let text = text.ok_or_else(|| SignatureError::Missing(path()))?;
    let decoded = Signature::decode(text)
        .map_err(|error| SignatureError::Malformed(path(), error.to_string()))?;
    let mut known = false;
    for Key { key, .. } in keys {
        // signatures of minisign before 0.8 hash nothing in advance, and are as good
        match key.verify(bytes, &decoded, true) {
            Ok(()) => return Ok(()),
            Err(Error::UnexpectedKeyId) => {}
            Err(_) => known = true,
        }
    }

    Err(if known {
        SignatureError::Altered(path())
    } else {
        SignatureError::Unknown(path())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// From the documentation of minisign-verify.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==";

    fn verified(keys: &[&str], bytes: &[u8], text: Option<&str>) -> Result<(), SignatureError> {
        let keys: Vec<Key> = keys.iter().map(|key| Key::read(key).unwrap()).collect();
        verify(&keys, bytes, Path::new("a.wasm.minisig"), text)
    }

    #[test]
    fn a_valid_signature_of_any_key_is_enough() {
        let file = format!("untrusted comment: minisign public key\n{KEY}\n");
        assert_eq!(Key::read(&file).unwrap(), Key::read(KEY).unwrap());
        assert_eq!(verified(&[&file], b"test", Some(SIGNATURE)), Ok(()));
    }

    #[test]
    fn whatever_is_wrong_is_said() {
        let path = || PathBuf::from("a.wasm.minisig");
        assert_eq!(
            verified(&[KEY], b"test", None),
            Err(SignatureError::Missing(path()))
        );
        assert_eq!(
            verified(&[KEY], b"Test", Some(SIGNATURE)),
            Err(SignatureError::Altered(path()))
        );
        assert_eq!(
            verified(&[], b"test", Some(SIGNATURE)),
            Err(SignatureError::Unknown(path()))
        );
        assert!(matches!(
            verified(&[KEY], b"test", Some("nothing")),
            Err(SignatureError::Malformed(..))
        ));
        let altered = SIGNATURE.replace("timestamp:1633700835", "timestamp:1633700836");
        assert_eq!(
            verified(&[KEY], b"test", Some(&altered)),
            Err(SignatureError::Altered(path()))
        );
        assert!(Key::read("nothing").is_err());
    }

    #[test]
    fn a_file_and_its_signature_find_each_other() {
        let signature = file_of(Path::new("/x/a.wasm"));
        assert_eq!(signature, Path::new("/x/a.wasm.minisig"));
        assert_eq!(
            signed_by(&signature).as_deref(),
            Some(Path::new("/x/a.wasm"))
        );
        assert_eq!(signed_by(Path::new("/x/a.wasm")), None);
    }
}
