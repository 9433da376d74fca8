//! A small HTTP server for guests. It gives its requests to the test, one after the other, each
//! before a deadline, and closes a connection after one answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Deadline;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// The part before the query.
    pub path: String,
    /// Names and values of the query, decoded.
    pub query: Vec<(String, String)>,
    /// The header `Host`.
    pub host: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status and its words, as in `200 OK`.
    pub status: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// All is well.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: "200 OK",
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// It is elsewhere.
    pub fn elsewhere(place: String) -> Self {
        Self {
            status: "302 Found",
            headers: vec![("Location", place)],
            body: Vec::new(),
        }
    }
}

/// A running server on 127.0.0.1.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    requests: UnboundedReceiver<Request>,
    over: Arc<AtomicBool>,
}

impl Web {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let over = Arc::<AtomicBool>::default();
        let (sender, requests) = unbounded_channel();
        let ended = Arc::clone(&over);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                // a client that breaks a connection off has no answer, and the next one is served
                let _ = stream
                    .map_err(anyhow::Error::from)
                    .and_then(|stream| serve(stream, &answer, &sender));
            }
        });

        Ok(Self {
            address,
            requests,
            over,
        })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next request.
    ///
    /// # Errors
    /// When there is none before the deadline.
    pub async fn next(&mut self) -> Result<Request> {
        Deadline::new()
            .wait("a request", self.requests.recv())
            .await?
            .context("the server has ended")
    }

    /// The next request for `path`; others are passed over.
    ///
    /// # Errors
    /// When there is none before the deadline.
    pub async fn expect(&mut self, path: &str) -> Result<Request> {
        let found = async {
            loop {
                let request = self.next().await?;
                if request.path == path {
                    return anyhow::Ok(request);
                }
            }
        };

        Deadline::new()
            .wait(path, found)
            .await?
            .with_context(|| format!("waiting for {path}"))
    }

    /// The requests that have come and were not taken.
    pub fn taken(&mut self) -> Vec<Request> {
        std::iter::from_fn(|| self.requests.try_recv().ok()).collect()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // the thread waits for a connection; an error means that it has ended
        let _ = TcpStream::connect(self.address);
    }
}

/// Reports the request before it is answered, so that it is there when the answer has arrived.
fn serve(
    mut stream: TcpStream,
    answer: &impl Fn(&Request) -> Answer,
    requests: &UnboundedSender<Request>,
) -> Result<()> {
    let request = read(&stream)?;
    let Answer {
        status,
        headers,
        body,
    } = answer(&request);
    requests.send(request)?;
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    Ok(stream.write_all(&body)?)
}

fn read(stream: &TcpStream) -> Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = || -> Result<String> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut host = String::new();
    let mut length = 0;
    loop {
        let header = line()?;
        let Some((name, value)) = header.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "host" => value.clone_into(&mut host),
            "content-length" => length = value.parse()?,
            _ => {}
        }
    }

    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let mut words = first.split(' ').map(str::to_owned);
    let method = words.next().context("no method")?;
    let target = words.next().context("no target")?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    Ok(Request {
        method,
        path: path.to_owned(),
        query,
        host,
        body,
    })
}

/// A text of a query without its percent-encoding (RFC 3986, section 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.as_bytes());
        let code = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(b'%'));
        rest = if code.is_some() { &after[2..] } else { after };
    }

    bytes.extend(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}
