//! Pure: what holds where the file says nothing. In: nothing. Out: `Default` of the configuration types. Owns nothing.

use std::time::Duration;

use super::{
    Connection, Level, LogFormat, Logging, OutboxLimits, Protocol, Tls, Transport, WaitRange,
};

impl Default for Connection {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            transport: Transport::Tcp,
            bind_address: None,
            protocol: Protocol::V5,
            client_id: String::new(),
            keepalive: Duration::from_secs(60),
            session_expiry: Duration::from_secs(3600),
            clean_start: false,
            credentials: None,
            tls: Tls::default(),
            receive_maximum: 256,
            max_packet_size: 1024 * 1024,
            connect_timeout: Duration::from_secs(10),
            // a broker that was away for long is to be found within two seconds of its return; an attempt a second costs nothing
            reconnect: WaitRange {
                min: Duration::from_millis(200),
                max: Duration::from_secs(1),
            },
            delivery_timeout: Duration::from_secs(10),
            outbox: OutboxLimits::default(),
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: Level::Info,
            format: LogFormat::Text,
        }
    }
}
