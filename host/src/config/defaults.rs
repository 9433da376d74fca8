//! Pure: what holds where the file says nothing. In: nothing. Out: `Default` of the configuration types. Owns nothing.

use std::time::Duration;

use super::{
    BrokerLimits, Connection, Level, Limits, LogFormat, Logging, OutboxLimits, Protocol, Tls,
    Transport, WhenClientFull, WhenFailing, WhenFull,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

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
            reconnect_min: Duration::from_millis(200),
            // a broker that was away for long is to be found within two seconds of its return; an attempt a second costs nothing
            reconnect_max: Duration::from_secs(1),
            delivery_timeout: Duration::from_secs(10),
            outbox: OutboxLimits::default(),
        }
    }
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            messages: 10_000,
            bytes: 16 * MIB,
        }
    }
}

/// For a machine with 512 MB.
impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            connections: 500,
            pending: 100,
            connect_timeout: Duration::from_secs(10),
            sessions: 200,
            subscriptions: 1000,
            waiting: OutboxLimits {
                messages: 10_000,
                bytes: 16 * MIB,
            },
            when_full: WhenClientFull::Disconnect,
            queue: OutboxLimits {
                messages: 10_000,
                bytes: 16 * MIB,
            },
            retained: OutboxLimits {
                messages: 10_000,
                bytes: 16 * MIB,
            },
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 * MIB,
            table: 200_000,
            instances: 200,
            call: Duration::from_secs(1),
            mailbox: 10_000,
            mailbox_bytes: 16 * MIB,
            when_full: WhenFull::Hold,
            attempts: 3,
            when_failing: WhenFailing::InOrder,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            restarts: 20,
            restart_window: Duration::from_secs(600),
            spool: 64 * MIB,
            dead_letters: 1000,
            publishes: 1000,
            publish_bytes: 64 * MIB,
            payload: MIB,
            subscriptions: 1000,
            timers: 1000,
            state: MIB,
            state_keys: 10_000,
            changes: 4000,
            log_lines: 1000,
            publish_rate: 10_000,
            payload_rate: 2 * 1024 * 1024,
            log_rate: 100,
            state_rate: 1024 * 1024,
            change_rate: 1000,
        }
    }
}
