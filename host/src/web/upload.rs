//! Uploads: the component is the body of the request, and its query says for which service it is.

use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::control::{Request, Upload, UploadError, Uploads};

/// How long a client may take to send the next piece.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// The status and the reason of a refusal.
type Refused = (StatusCode, String);

/// The request that an upload makes, and the length of its body.
///
/// # Errors
/// When the length is not known, or the query has no service, or other members.
fn announced(uri: &Uri, headers: &HeaderMap) -> Result<(Request, u64), Refused> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let Some(bytes) = length else {
        let said = "expected the header content-length".to_owned();
        return Err((StatusCode::LENGTH_REQUIRED, said));
    };

    let wrong = |said: String| (StatusCode::BAD_REQUEST, said);
    let mut service = None;
    let mut signature = None;
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match &*name {
            "service" => service = Some(value.into_owned()),
            "signature" => signature = Some(value.into_owned()),
            other => {
                let said = format!("expected service and signature in the query, found {other:?}");
                return Err(wrong(said));
            }
        }
    }

    let service = service.ok_or_else(|| wrong("expected service=NAME in the query".to_owned()))?;
    let request = Request::Upload {
        service,
        bytes,
        signature,
    };
    Ok((request, bytes))
}

/// Writes the component in a request to disk while it arrives.
///
/// # Errors
/// When the request names no service, or the component is too large, there are too many others, or it does not arrive in time.
pub(super) async fn receive(
    uploads: &Uploads,
    request: http::Request<Incoming>,
) -> Result<(Request, Upload), Refused> {
    let (command, bytes) = announced(request.uri(), request.headers())?;
    let mut body = request.into_body();
    let mut upload = uploads.begin(bytes).map_err(refused)?;
    loop {
        let piece = tokio::time::timeout(PIECE_TIMEOUT, body.frame()).await;
        let late = || "the component did not arrive in time".to_owned();
        let piece = piece.map_err(|_| (StatusCode::REQUEST_TIMEOUT, late()))?;
        let Some(piece) = piece else {
            let upload = upload.finish().await.map_err(refused)?;
            return Ok((command, upload));
        };

        let broken = |error: hyper::Error| (StatusCode::BAD_REQUEST, error.to_string());
        if let Some(data) = piece.map_err(broken)?.data_ref() {
            upload.write(data).await.map_err(refused)?;
        }
    }
}

fn refused(error: UploadError) -> Refused {
    let status = match error {
        UploadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        UploadError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        UploadError::Length { .. } => StatusCode::BAD_REQUEST,
        UploadError::Archive(_) | UploadError::Write(_) => StatusCode::INSUFFICIENT_STORAGE,
    };
    (status, error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(query: &str, length: Option<&str>) -> Result<Request, u16> {
        let uri: Uri = format!("/api/v1/upload?{query}").parse().unwrap();
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
        }
        announced(&uri, &headers)
            .map(|(request, _)| request)
            .map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn queries_name_the_service_and_the_signature() {
        let upload = |service: &str, signature: Option<&str>| Request::Upload {
            service: service.to_owned(),
            bytes: 7,
            signature: signature.map(str::to_owned),
        };
        assert_eq!(read("service=a%20b", Some("7")), Ok(upload("a b", None)));
        let signed = read("service=a&signature=one%0Atwo", Some("7"));
        assert_eq!(signed, Ok(upload("a", Some("one\ntwo"))));
        assert_eq!(read("service=a", None), Err(411));
        assert_eq!(read("service=a", Some("-1")), Err(411));
        assert_eq!(read("", Some("7")), Err(400));
        assert_eq!(read("service=a&token=x", Some("7")), Err(400));
    }
}
