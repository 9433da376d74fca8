//! Outgoing HTTP of a service in Python.

use std::sync::mpsc;

use anyhow::{Result, ensure};
use miqro_tests::web::Answer;
use miqro_tests::{Web, place};
use serde_json::{Value, json};

use super::{Project, Running};

const SOURCE: &str = "from miqro_sdk import WitWorld, handle, http, publish


@handle('echo')
def ask(options: dict):
    try:
        answer = http.request(**options)
        publish('answered', f'{answer.status_code} {answer.text}')
    except http.RequestException as error:
        publish('answered', f'{type(error).__name__} {error}')
";

const IMPORT: &str = "  import wasi:http/outgoing-handler@0.2.0;\n";

fn project() -> Result<Project> {
    let project = Project::new("python")?;
    std::fs::write(project.file("app.py"), SOURCE)?;
    Ok(project)
}

/// Arguments of requests, and the answers of the service: to a port that answers, to one that is closed, and to one that is not granted.
fn cases([port, closed, foreign]: [u16; 3], body: &str) -> Vec<(Value, String)> {
    let at = |port, path: &str| format!("http://127.0.0.1:{port}{path}");
    vec![
        (
            json!({ "method": "GET", "url": at(port, "/a b?x=1") }),
            "200 GET 0".to_owned(),
        ),
        (
            json!({ "method": "POST", "url": at(port, "/"), "data": body }),
            "200 POST 10000".to_owned(),
        ),
        (
            json!({ "method": "post", "url": at(port, "/") }),
            "200 POST 0".to_owned(),
        ),
        (
            json!({ "method": "DELETE", "url": at(port, "/") }),
            "200 DELETE 0".to_owned(),
        ),
        (
            json!({ "method": "GET", "url": at(port, "/redirect") }),
            "302 ".to_owned(),
        ),
        (
            json!({ "method": "GET", "url": at(port, "/long") }),
            format!(
                "RequestException {}: the response is longer than 4 MiB",
                at(port, "/long")
            ),
        ),
        (
            json!({ "method": "GET", "url": at(closed, "/?secret=1") }),
            format!("ConnectionError {}: connection refused", at(closed, "/")),
        ),
        (
            json!({ "method": "GET", "url": at(foreign, "/?secret=1") }),
            format!(
                "ConnectionError {}: not granted; grants.http of the service has to name 127.0.0.1:{foreign}",
                at(foreign, "/")
            ),
        ),
        (
            json!({ "method": "GET", "url": at(port, "/late"), "timeout": 0.2 }),
            format!("ReadTimeout {}: connection read timeout", at(port, "/late")),
        ),
    ]
}

async fn answered(running: &Running, options: Value) -> Result<String> {
    let answer = running.ask(options.to_string(), "answered").await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn python_sends_requests_that_are_granted() -> Result<()> {
    let (release, released) = mpsc::channel::<()>();
    let mut web = Web::start(move |request| {
        if request.path == "/late" {
            // until the test ends
            let _ = released.recv();
        }
        let status = format!("{} {}", request.method, request.body.len());
        match request.path.as_str() {
            "/redirect" => Answer::elsewhere("/other".to_owned()),
            "/long" => Answer::ok(vec![b'x'; 5 << 20]),
            _ => Answer::ok(status),
        }
    })?;
    let project = project()?;
    project.edit(
        "wit/app.wit",
        "  import log;\n",
        &format!("  import log;\n{IMPORT}"),
    )?;
    project.build()?;
    let (port, closed, foreign) = (web.port(), place::free_port()?, place::free_port()?);
    let section = json!({
        "limits": { "call": "60s" }, "grants": { "http": [format!("127.0.0.1:{port}"), format!("127.0.0.1:{closed}")] },
    });
    let arguments = ["run", &project.component()];
    let running = Running::start_with(&project, &arguments, &section.to_string()).await?;

    let body = "ü".repeat(5_000);
    for (options, expected) in cases([port, closed, foreign], &body) {
        let found = answered(&running, options.clone()).await?;
        ensure!(found == expected, "{options}: {found}");
    }

    drop(release);
    let request = web.next().await?;
    ensure!(request.path == "/a%20b" && request.query == [("x".to_owned(), "1".to_owned())]);
    ensure!(web.next().await?.body == body.as_bytes());
    Ok(())
}

#[test]
#[ignore = "needs the toolchains: make test-languages"]
fn python_without_the_import_of_http_is_told_the_line() -> Result<()> {
    let output = project()?.host(&["build"])?;
    let line = IMPORT.trim();
    ensure!(
        !output.success && output.text.contains(line),
        "{}",
        output.text
    );
    Ok(())
}
