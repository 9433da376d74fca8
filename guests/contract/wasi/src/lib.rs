//! Tries to reach outside of the sandbox. A message on `try` is a word and a target: `tcp ADDRESS`, `udp ADDRESS`, `listen
//! ADDRESS`, `resolve NAME`, `read PATH`, `list PATH`, `env NAME`, `clock`, `random`. It publishes `reached` with the result,
//! or `denied` with the error.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Instant, SystemTime};

use contract_kit::{Guest, Outcome, publish, subscribe};

struct Wasi;
contract_kit::service!(Wasi);

impl Guest for Wasi {
    fn start() -> Outcome {
        subscribe("try")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let command = String::from_utf8_lossy(&payload).into_owned();
        let (what, place) = command.split_once(' ').unwrap_or((&command, ""));
        match reach(what, place) {
            Ok(found) => publish("reached", found),
            Err(error) => publish("denied", error),
        }
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

fn reach(what: &str, place: &str) -> Result<String, String> {
    let found = match what {
        "tcp" => TcpStream::connect(place).map(|_| String::new()),
        "udp" => UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.send_to(b"x", place))
            .map(|_| String::new()),
        "listen" => TcpListener::bind(place).map(|_| String::new()),
        "resolve" => place
            .to_socket_addrs()
            .map(|found| format!("{:?}", found.collect::<Vec<_>>())),
        "read" => std::fs::read_to_string(place),
        "list" => std::fs::read_dir(place).map(|entries| format!("{} entries", entries.count())),
        "clock" => Ok(clock()),
        "random" => Ok(random()),
        "env" => std::env::var(place).map_err(std::io::Error::other),
        other => Err(std::io::Error::other(format!("{other} is not known"))),
    };

    found.map_err(|error| error.to_string())
}

/// The wall clock, and the time between two readings of the monotonic one.
fn clock() -> String {
    let before = Instant::now();
    format!("{:?} {:?}", SystemTime::now(), before.elapsed())
}

/// A random number, and one that depends on the insecure seed.
fn random() -> String {
    let number = wasip2::random::random::get_random_u64();
    format!("{number} {}", RandomState::new().hash_one(0))
}
