//! Bytes in a recording: a JSON text when they are UTF-8, otherwise `{"base64": ..}`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bytes of a payload, of a value, or of a random number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(into = "Form", try_from = "Form")]
pub struct Content(pub Bytes);

/// The two forms in JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Text(String),
    Binary { base64: String },
}

impl From<Content> for Form {
    fn from(content: Content) -> Self {
        match std::str::from_utf8(&content.0) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Binary {
                base64: BASE64_STANDARD.encode(&content.0),
            },
        }
    }
}

impl TryFrom<Form> for Content {
    type Error = base64::DecodeError;

    fn try_from(form: Form) -> Result<Self, base64::DecodeError> {
        Ok(Self(match form {
            Form::Text(text) => text.into(),
            Form::Binary { base64 } => BASE64_STANDARD.decode(base64)?.into(),
        }))
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Content {
    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_readable() {
        let json = |bytes: &'static [u8]| {
            serde_json::to_string(&Content(Bytes::from_static(bytes))).unwrap()
        };
        assert_eq!(json(b"21.5"), r#""21.5""#);
        assert_eq!(json(&[0xff, 0]), r#"{"base64":"/wA="}"#);

        let wrong = serde_json::from_str::<Content>(r#"{"base64":"?"}"#);
        assert!(wrong.unwrap_err().to_string().contains("Invalid"));
    }

    proptest! {
        #[test]
        fn bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let content = Content(bytes.into());
            let json = serde_json::to_string(&content).unwrap();
            prop_assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content);
        }
    }
}
