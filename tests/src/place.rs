//! Paths of the project and of the running test, and free ports.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};

/// The project's folder. Cargo names it when it runs a test: the path that was compiled in may be that of another checkout which
/// shares the target directory.
pub fn project() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .ancestors()
        .find(|folder| folder.join("wit/service.wit").is_file())
        .map_or_else(|| package.join(".."), Path::to_owned)
}

/// The folder `release` that cargo has built this test into.
///
/// # Errors
/// When the running program does not lie in cargo's target directory.
pub fn release() -> Result<PathBuf> {
    let test = std::env::current_exe().context("the path of the running test")?;
    test.ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("the test does not lie in cargo's target directory")
}

/// The host's program.
///
/// # Errors
/// When it is not built.
pub fn host() -> Result<PathBuf> {
    let program = release()?.join("miqro-host");
    ensure!(
        program.is_file(),
        "{} is not there: run `make build`",
        program.display()
    );
    Ok(program)
}

/// A folder for caches that tests leave for later tests.
///
/// # Errors
/// When it cannot be made.
pub fn cache() -> Result<PathBuf> {
    let folder = release()?.with_file_name("test-cache");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The folder of `scripts/setup-tests`: paho-mqtt and cargo-component.
pub fn tools() -> PathBuf {
    let from = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cache = || {
        from("XDG_CACHE_HOME")
            .or_else(|| Some(from("HOME")?.join(".cache")))
            .unwrap_or_default()
    };
    from("MIQRO_TOOLS").unwrap_or_else(|| cache().join("miqro-host/tools"))
}

/// Python with paho-mqtt.
///
/// # Errors
/// When it is not installed.
pub fn python() -> Result<PathBuf> {
    tool("python/bin/python")
}

/// Python with the originals: MIQRO and mqttservice, and the paho-mqtt that they need.
///
/// # Errors
/// When it is not installed.
pub fn original_python() -> Result<PathBuf> {
    tool("originals/bin/python")
}

/// The folder with the Node modules that check AsyncAPI documents.
///
/// # Errors
/// When they are not installed.
pub fn asyncapi() -> Result<PathBuf> {
    tool("asyncapi")
}

/// Python with Home Assistant.
///
/// # Errors
/// When it is not installed.
pub fn home_assistant() -> Result<PathBuf> {
    let python = tools().join("homeassistant/bin/python");
    ensure!(
        python.exists(),
        "{} is not there: run `make test-home-assistant`",
        python.display()
    );
    Ok(python)
}

/// The folder of the Node module that operates a browser.
///
/// # Errors
/// When it is not installed.
pub fn browser() -> Result<PathBuf> {
    tool("browser")
}

/// cargo-component.
///
/// # Errors
/// When it is not installed.
pub fn cargo_component() -> Result<PathBuf> {
    tool("bin/cargo-component")
}

/// Prometheus.
///
/// # Errors
/// When it is not installed.
pub fn prometheus() -> Result<PathBuf> {
    tool("bin/prometheus")
}

/// The tool that checks metrics.
///
/// # Errors
/// When it is not installed.
pub fn promtool() -> Result<PathBuf> {
    tool("bin/promtool")
}

fn tool(path: &str) -> Result<PathBuf> {
    let program = tools().join(path);
    ensure!(
        program.exists(),
        "{} is not there: run `make setup-tests`",
        program.display()
    );
    Ok(program)
}

/// A port on which nobody listens. Not one of those that the system gives to outgoing connections: a broker that a test
/// stops must find its port free when it is started again.
///
/// # Errors
/// When none is free.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() as u16).wrapping_mul(37);
    (0..COUNT)
        .map(|_| FIRST + start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port")
}
