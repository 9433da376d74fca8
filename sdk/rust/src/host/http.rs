//! HTTP in a component, by `wasi:http`.

use std::time::Duration;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingResponse, Method as WasiMethod, OutgoingBody, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasip2::io::streams::StreamError;

use crate::http::{HttpRequest, HttpResponse, Method};

/// A longer answer is cut off: a service has little memory.
const LONGEST_BODY: usize = 1 << 20;
const CHUNK: u64 = 16 << 10;

/// Sends `request` and waits for the response; an error says why there is none.
pub(crate) fn send(request: &HttpRequest) -> Result<HttpResponse, String> {
    let outgoing = outgoing(request)?;
    let body = outgoing.body().map_err(|()| "no body".to_owned())?;
    let future = outgoing_handler::handle(outgoing, Some(options(request.timeout)?))
        .map_err(|error| error.to_string())?;
    write(body, &request.body)?;
    future.subscribe().block();
    let response = future
        .get()
        .ok_or("no answer")?
        .map_err(|()| "the answer was taken already")?;
    read(&response.map_err(|error| error.to_string())?)
}

fn outgoing(request: &HttpRequest) -> Result<OutgoingRequest, String> {
    let (scheme, rest) = request
        .url
        .split_once("://")
        .ok_or("the address has no scheme")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => return Err(format!("{other} is not http")),
    };
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    let outgoing =
        OutgoingRequest::new(Fields::from_list(&headers).map_err(|error| error.to_string())?);
    let method = if request.method == Method::Post {
        WasiMethod::Post
    } else {
        WasiMethod::Get
    };
    let set = outgoing
        .set_method(&method)
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(Some(authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(&path)));
    set.map_err(|()| "not a valid address".to_owned())?;
    Ok(outgoing)
}

fn options(timeout: Duration) -> Result<RequestOptions, String> {
    let options = RequestOptions::new();
    let span = u64::try_from(timeout.as_nanos()).ok();
    let set = options
        .set_connect_timeout(span)
        .and_then(|()| options.set_first_byte_timeout(span))
        .and_then(|()| options.set_between_bytes_timeout(span));
    set.map(|()| options)
        .map_err(|()| "the host knows no timeouts".to_owned())
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), String> {
    let stream = body.write().map_err(|()| "no body".to_owned())?;
    // the host takes up to 4096 bytes in one call
    for chunk in bytes.chunks(4_096) {
        stream
            .blocking_write_and_flush(chunk)
            .map_err(|error| error.to_string())?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).map_err(|error| error.to_string())
}

fn read(response: &IncomingResponse) -> Result<HttpResponse, String> {
    let body = response.consume().map_err(|()| "no body".to_owned())?;
    let stream = body.stream().map_err(|()| "no body".to_owned())?;
    let mut bytes = Vec::new();
    while bytes.len() < LONGEST_BODY {
        match stream.blocking_read(CHUNK) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(error) => return Err(error.to_string()),
        }
    }

    Ok(HttpResponse {
        status: response.status(),
        body: bytes,
    })
}
