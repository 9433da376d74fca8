//! The HTTP server with a certificate of its own: HTTPS for the command line, a renewed certificate, and clients that do not encrypt.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::process::{Said, run_to_end};
use miqro_tests::{Host, host};
use serde_json::json;

use super::{LOCAL, OPERATE, get};

/// Makes a certificate for `localhost` and its key: `NAME.crt` and `NAME.key`.
fn make_certificate(folder: &Path, name: &str) -> Result<()> {
    let made = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=localhost".split(' '))
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args([
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.crt"),
        ])
        .current_dir(folder)
        .output()
        .context("openssl is not installed")?;
    ensure!(made.status.success(), "{made:?}");
    Ok(())
}

/// A folder with the certificates `one` and `two`, of which `one` is that of the server.
fn certificates() -> Result<tempfile::TempDir> {
    let folder = tempfile::TempDir::new()?;
    for name in ["one", "two"] {
        make_certificate(folder.path(), name)?;
    }
    install(folder.path(), "one")?;
    Ok(folder)
}

/// Puts a certificate and its key in the places of the server's.
fn install(folder: &Path, name: &str) -> Result<()> {
    for kind in ["crt", "key"] {
        let new = folder.join(format!("new.{kind}"));
        std::fs::copy(folder.join(format!("{name}.{kind}")), &new)?;
        std::fs::rename(new, folder.join(format!("server.{kind}")))?;
    }
    Ok(())
}

fn web(folder: &Path, listen: &str) -> serde_json::Value {
    let file = |kind: &str| folder.join(format!("server.{kind}"));
    json!({
        "listen": listen,
        "tls": {"certfile": file("crt"), "keyfile": file("key")},
        "tokens": [{"name": "anna", "role": "operate", "token": OPERATE}],
    })
}

async fn restart(folder: &Path, port: u16, trusted: &str) -> Result<Said> {
    let token = folder.join("token");
    std::fs::write(&token, OPERATE)?;
    let mut command = host::command()?;
    command
        .args(["--host", &format!("https://localhost:{port}")])
        .arg("--ca-file")
        .arg(folder.join(format!("{trusted}.crt")))
        .arg("--token-file")
        .arg(token)
        .args(["restart", "it"])
        .env("XDG_STATE_HOME", folder);
    run_to_end(&mut command).await
}

#[tokio::test]
async fn commands_pass_over_https_and_a_renewed_certificate_is_used() -> Result<()> {
    let folder = certificates()?;
    let path = folder.path();
    let host = Host::embedded()?
        .service("it", "relay", json!({}))
        // reachable by others, which a certificate and a token allow
        .top("web", web(path, "0.0.0.0:0"))
        .start()
        .await?;
    let port = host.web_port().await?;
    let line = host.output().lines().join("\n");
    assert!(line.contains("listens on https://0.0.0.0"), "{line}");

    let done = restart(path, port, "one").await?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let unknown = restart(path, port, "two").await?;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.err.contains("certificate"), "{unknown:?}");

    let plain = get(port, "/healthz", LOCAL).await?;
    assert_eq!(
        (plain.status, plain.body.as_str()),
        (400, "expected https, found http\n")
    );

    // half of a renewal: the former certificate holds
    std::fs::copy(path.join("two.key"), path.join("server.key"))?;
    let kept = restart(path, port, "one").await?;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    host.output()
        .wait_for("the warning", |line| {
            line.contains("former certificate of the HTTP server holds")
                && line.contains("have to be a pair")
        })
        .await?;

    install(path, "two")?;
    let renewed = restart(path, port, "two").await?;
    assert_eq!(renewed.code, Some(0), "{renewed:?}");
    let old = restart(path, port, "one").await?;
    assert_eq!(old.code, Some(1), "{old:?}");
    Ok(())
}

#[tokio::test]
async fn certificate_that_cannot_be_used_is_named_at_start() -> Result<()> {
    let folder = certificates()?;
    let path = folder.path();
    std::fs::copy(path.join("two.key"), path.join("server.key"))?;
    for (file, reason) in [
        (None, "have to be a pair"),
        (Some("server.key"), "server key (web.tls.keyfile)"),
        (Some("server.crt"), "server certificate (web.tls.certfile)"),
    ] {
        if let Some(file) = file {
            std::fs::remove_file(path.join(file))?;
        }
        let mut host = Host::embedded()?
            .service("it", "relay", json!({}))
            .top("web", web(path, "127.0.0.1:0"))
            .spawn()?;
        let ended = host.ended().await?;
        let log = host.output().lines().join("\n");
        assert_eq!(ended.code(), Some(1), "{log}");
        assert!(log.contains(reason), "expected {reason}: {log}");
    }
    Ok(())
}
