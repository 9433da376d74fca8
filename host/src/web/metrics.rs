//! Metrics of a snapshot in Prometheus' text format. Names follow OpenTelemetry's conventions for messaging where they have one.
//!
//! Nothing is counted here: a scrape reads the figures that the services keep anyway.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::control::HostSnapshot;
use crate::service::{Activity, DURATION_BOUNDS, ServiceSnapshot};

/// The metrics of `snapshot`.
///
/// # Errors
/// When they cannot be encoded.
pub(super) fn encode(snapshot: HostSnapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot(snapshot)));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(HostSnapshot);

/// A figure of a service.
type Figure = fn(&Activity) -> f64;

/// Counters of a service: name without `_total`, meaning, figure.
const COUNTERS: [(&str, &str, Figure); 7] = [
    (
        "messaging_client_consumed_messages",
        "Calls of the guest for messages",
        |activity| activity.messages.calls as f64,
    ),
    (
        "miqro_service_failed_messages",
        "Calls for messages that failed",
        |activity| activity.messages.failures as f64,
    ),
    (
        "miqro_service_timer_calls",
        "Calls of the guest for timers",
        |activity| activity.timers.calls as f64,
    ),
    (
        "miqro_service_failed_timer_calls",
        "Calls for timers that failed",
        |activity| activity.timers.failures as f64,
    ),
    (
        "miqro_service_timer_overruns",
        "Due times of timers that were missed",
        |activity| activity.timers.overruns as f64,
    ),
    (
        "miqro_service_received_messages",
        "Messages that the mailbox was offered",
        |activity| activity.queued.received as f64,
    ),
    (
        "miqro_service_dropped_messages",
        "Messages that the mailbox dropped because it was full",
        |activity| activity.queued.dropped as f64,
    ),
];

/// Gauges of a service: name, meaning, figure.
const GAUGES: [(&str, &str, Figure); 4] = [
    (
        "miqro_service_enabled",
        "Whether the service is switched on",
        |activity| f64::from(u8::from(activity.enabled)),
    ),
    (
        "miqro_service_waiting_messages",
        "Messages that wait in the mailbox",
        |activity| activity.queued.waiting as f64,
    ),
    (
        "miqro_service_spooled_messages",
        "Messages that were deferred or spooled",
        |activity| activity.queued.spooled as f64,
    ),
    (
        "miqro_service_memory_bytes",
        "Memory of the guest",
        |activity| activity.used.memory.unwrap_or(0) as f64,
    ),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_host(&mut encoder)?;
        self.encode_services(&mut encoder)?;
        self.encode_durations(&mut encoder)
    }
}

impl Snapshot {
    fn encode_host(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let host = &self.0;
        let version = [("version", host.version)];
        gauge(encoder, "miqro_host_build", "Version of the host")?
            .encode_family(&version)?
            .encode_gauge(&1_i64)?;
        let uptime = encoder.encode_descriptor(
            "miqro_host_uptime",
            "Time since the host has started",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        );

        uptime?.encode_gauge(&(host.uptime_s as f64))?;
        let connected = i64::from(host.broker.connected);
        gauge(
            encoder,
            "miqro_broker_connected",
            "Whether there is a connection to the broker",
        )?
        .encode_gauge(&connected)?;
        let quarantined = host.broker.quarantined.len() as f64;
        let help =
            "Filters that are not subscribed to, because the broker ends the connection for them";
        gauge(encoder, "miqro_broker_quarantined_filters", help)?.encode_gauge(&quarantined)?;
        let help = "Log lines that were dropped because nobody read them";
        counter(encoder, "miqro_host_lost_log_lines", help)?
            .encode_counter::<NoLabelSet, _, f64>(&host.log_lines_lost, None)?;
        let help = "Spans of traces that did not reach the collector";
        counter(encoder, "miqro_host_lost_spans", help)?
            .encode_counter::<NoLabelSet, _, f64>(&host.spans_lost, None)
    }

    fn encode_services(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let services = &self.0.services;
        let mut metric = gauge(
            encoder,
            "miqro_service_status",
            "Status of the service; 1 for the current one",
        )?;
        for service in services {
            let labels = [
                ("service", service.name.as_str()),
                ("status", service.status.into()),
            ];
            metric.encode_family(&labels)?.encode_gauge(&1_i64)?;
        }

        let help = "Whether a version waits for the command `update`";
        let mut metric = gauge(encoder, "miqro_service_update_available", help)?;
        for service in services {
            let waits = i64::from(service.available.is_some());
            metric
                .encode_family(&label(service))?
                .encode_gauge(&waits)?;
        }

        let mut metric = gauge(
            encoder,
            "miqro_service_dead_letters",
            "Dead letters on disk",
        )?;
        for service in services {
            if let Some(letters) = service.dead_letters {
                metric
                    .encode_family(&label(service))?
                    .encode_gauge(&(letters as f64))?;
            }
        }

        for (name, help, figure) in COUNTERS {
            let mut metric = counter(encoder, name, help)?;
            for (service, activity) in self.active() {
                metric
                    .encode_family(&label(service))?
                    .encode_counter::<NoLabelSet, _, f64>(&figure(activity), None)?;
            }
        }

        for (name, help, figure) in GAUGES {
            let mut metric = gauge(encoder, name, help)?;
            for (service, activity) in self.active() {
                metric
                    .encode_family(&label(service))?
                    .encode_gauge(&figure(activity))?;
            }
        }

        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(
            "messaging_process_duration",
            "Duration of the calls for messages that were measured, one in some on a busy service",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;

        for (service, activity) in self.active() {
            let durations = &activity.durations_us;
            let bounds = DURATION_BOUNDS.iter().map(|bound| bound.as_secs_f64());
            let buckets: Vec<(f64, u64)> = bounds.zip(durations.counts).collect();
            metric
                .encode_family(&label(service))?
                .encode_histogram::<NoLabelSet>(
                    durations.sum_seconds,
                    durations.measured,
                    &buckets,
                    None,
                )?;
        }

        Ok(())
    }

    /// The services that have answered.
    fn active(&self) -> impl Iterator<Item = (&ServiceSnapshot, &Activity)> {
        let services = self.0.services.iter();
        services.filter_map(|service| Some((service, service.activity.as_ref()?)))
    }
}

fn label(service: &ServiceSnapshot) -> [(&'static str, &str); 1] {
    [("service", &service.name)]
}

fn gauge<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &'a str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn counter<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &'a str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}
