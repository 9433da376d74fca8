//! Metrics, read by promtool and by a real Prometheus, and the queries of the dashboard.

use std::process::Command;

use anyhow::{Context, Result};
use miqro_tests::process::Process;
use miqro_tests::{Deadline, Host, Message, place};
use serde_json::{Value, json};

use super::{READ, get, guarded, run_with, send, with_token};

/// `promtool check metrics` of Prometheus reads the metrics from standard input.
#[tokio::test]
async fn metrics_are_accepted_by_promtool() -> Result<()> {
    let (host, port) = guarded().await?;
    let mut client = host.client().await?;
    client.subscribe("service/it/out", 1).await?;
    client.publish("service/it/in", "one").await?;
    client.next().await?;

    let counted = "messaging_client_consumed_messages_total{service=\"it\"} 1";
    let text = Deadline::new()
        .wait("the message to be counted", async {
            loop {
                let answered = get(port, "/metrics", &with_token(READ)).await?;
                assert!(
                    answered.head.contains("text/plain; version=0.0.4"),
                    "{}",
                    answered.head
                );
                if answered.body.contains(counted) {
                    return anyhow::Ok(answered.body);
                }
            }
        })
        .await??;

    for line in [
        "miqro_broker_connected 1",
        "miqro_service_status{service=\"it\",status=\"running\"} 1",
        "miqro_service_enabled{service=\"it\"} 1",
        "miqro_service_update_available{service=\"it\"} 0",
        "miqro_host_lost_spans_total 0",
        "miqro_service_dead_letters{service=\"it\"} 0",
        "messaging_process_duration_seconds_bucket{service=\"it\",le=\"+Inf\"} 1",
        "# TYPE messaging_process_duration_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }

    let complaints = run_with(
        Command::new(place::promtool()?).args(["check", "metrics"]),
        &text,
    )?;
    assert_eq!(complaints, "", "{text}");
    Ok(())
}

/// While the collector is away, the queue fills, and spans beyond it are counted.
#[tokio::test]
async fn lost_spans_are_counted() -> Result<()> {
    /// Each message has seven spans.
    const MESSAGES: usize = 3_000;
    let away = place::free_port()?;
    let collector = format!("http://127.0.0.1:{away}");
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        .top(
            "web",
            json!({"listen": "127.0.0.1:0", "tokens": [{"name": "it", "token": READ}]}),
        )
        .top("traces", json!({"otlp": collector, "sample_every": 1}))
        .start()
        .await?;
    let port = host.web_port().await?;
    let mut client = host.client().await?;
    for number in 0..MESSAGES {
        let message = Message::new("service/it/in", number.to_string());
        client.post(message).await?;
    }
    client.acknowledged(MESSAGES).await?;

    let lost = async {
        loop {
            let text = get(port, "/metrics", &with_token(READ)).await?.body;
            let lost = text
                .lines()
                .find_map(|line| line.strip_prefix("miqro_host_lost_spans_total "))
                .with_context(|| text.clone())?;
            if lost != "0" {
                return anyhow::Ok(());
            }
        }
    };
    Deadline::new().wait("lost spans", lost).await?
}

/// A real Prometheus scrapes the host; each query of the dashboard has to give a result.
#[tokio::test]
async fn dashboard_queries_work_in_prometheus() -> Result<()> {
    let (host, port) = guarded().await?;
    let folder = host.folder().join("prometheus");
    std::fs::create_dir_all(&folder)?;
    let settings = json!({
        "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
        "scrape_configs": [{
            "job_name": "miqro",
            "authorization": {"credentials": READ},
            "static_configs": [{"targets": [format!("localhost:{port}")]}],
        }],
    });

    std::fs::write(folder.join("prometheus.yml"), settings.to_string())?;
    let prometheus = place::free_port()?;
    let mut command = Command::new(place::prometheus()?);
    command
        .arg(format!(
            "--config.file={}",
            folder.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{prometheus}"));

    let _running = Process::start(&mut command)?;

    let dashboard = std::fs::read_to_string(place::project().join("docs/grafana/miqro-host.json"))?;
    let dashboard: Value = serde_json::from_str(&dashboard)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let queries: Vec<String> = targets
        .filter_map(|target| target["expr"].as_str())
        .map(|query| {
            query
                .replace("$service", ".*")
                .replace("$__rate_interval", "30s")
        })
        .collect();

    assert!(queries.len() > 10, "{queries:?}");

    Deadline::new()
        .wait("every query to have a result", async {
            for query in queries {
                while !has_result(prometheus, &query).await? {}
            }
            anyhow::Ok(())
        })
        .await?
}

/// Whether Prometheus has a result for a query; false also while it starts.
async fn has_result(port: u16, query: &str) -> Result<bool> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let head = format!("GET /api/v1/query?query={encoded} HTTP/1.0");
    let Ok(answered) = send(port, &head, "").await else {
        tokio::task::yield_now().await;
        return Ok(false);
    };
    if answered.status != 200 {
        return Ok(false);
    }
    let result = answered.json()?;
    Ok(result["data"]["result"]
        .as_array()
        .is_some_and(|all| !all.is_empty()))
}
