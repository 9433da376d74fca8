//! The files of packages that nothing on this machine reads: the app of Home Assistant, against the documentation of its keys
//! (developers.home-assistant, docs/apps/configuration.md of November 2026).

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use miqro_tests::place;
use serde_yaml::{Mapping, Value};

/// Keys that an app must have.
const REQUIRED: [&str; 5] = ["name", "version", "slug", "description", "arch"];

/// Further keys that the documentation has.
const OPTIONAL: &[&str] = &[
    "machine",
    "url",
    "startup",
    "webui",
    "boot",
    "ports",
    "ports_description",
    "host_network",
    "host_ipc",
    "host_dbus",
    "host_pid",
    "host_uts",
    "devices",
    "homeassistant",
    "hassio_role",
    "hassio_api",
    "homeassistant_api",
    "docker_api",
    "privileged",
    "full_access",
    "apparmor",
    "map",
    "environment",
    "audio",
    "video",
    "gpio",
    "usb",
    "uart",
    "udev",
    "devicetree",
    "kernel_modules",
    "stdin",
    "legacy",
    "options",
    "schema",
    "image",
    "timeout",
    "tmpfs",
    "discovery",
    "services",
    "auth_api",
    "ingress",
    "ingress_port",
    "ingress_entry",
    "ingress_stream",
    "panel_icon",
    "panel_title",
    "panel_admin",
    "backup",
    "backup_pre",
    "backup_post",
    "backup_exclude",
    "stage",
    "init",
    "watchdog",
    "realtime",
    "journald",
    "breaking_versions",
    "ulimits",
];

/// Directories of Home Assistant that can be mapped.
const MAPPED: [&str; 9] = [
    "homeassistant_config",
    "app_config",
    "all_app_configs",
    "local_apps",
    "ssl",
    "backup",
    "share",
    "media",
    "data",
];

fn read(name: &str) -> Result<String> {
    let file = place::project()
        .join("host/packaging/home-assistant")
        .join(name);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

fn mapping(name: &str) -> Result<Mapping> {
    Ok(serde_yaml::from_str(&read(name)?)?)
}

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_sequence()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Values of environment variables and the arguments of the program, in a Dockerfile.
fn words(file: &str) -> BTreeSet<&str> {
    file.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| line.split([' ', ',', '"', '=', '[', ']']))
        .collect()
}

#[test]
fn app_has_the_documented_keys_and_no_others() -> Result<()> {
    let app = mapping("miqro_host/config.yaml")?;
    for key in REQUIRED {
        ensure!(app.contains_key(key), "{key} is missing");
    }
    for key in app.keys().filter_map(Value::as_str) {
        ensure!(
            REQUIRED.contains(&key) || OPTIONAL.contains(&key),
            "{key} is not documented"
        );
    }

    let slug = app["slug"].as_str().context("slug")?;
    ensure!(
        slug.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)),
        "{slug}"
    );
    ensure!(
        texts(&app["arch"]) == BTreeSet::from(["aarch64", "amd64"]),
        "{:?}",
        app["arch"]
    );
    let startup = app["startup"].as_str().context("startup")?;
    ensure!(
        ["initialize", "system", "services", "application", "once"].contains(&startup),
        "{startup}"
    );
    ensure!(["hot", "cold"].contains(&app["backup"].as_str().context("backup")?));
    for map in app["map"].as_sequence().context("map")? {
        let kind = map["type"].as_str().context("type of a map")?;
        ensure!(MAPPED.contains(&kind), "{kind}");
    }

    let repository = mapping("repository.yaml")?;
    ensure!(
        repository.contains_key("name"),
        "the repository has no name"
    );
    Ok(())
}

#[test]
fn app_has_the_version_of_the_host() -> Result<()> {
    let app = mapping("miqro_host/config.yaml")?;
    ensure!(
        app["version"] == env!("CARGO_PKG_VERSION"),
        "{:?} is not the version of Cargo.toml",
        app["version"]
    );
    Ok(())
}

#[test]
fn app_names_its_ports_in_its_translation() -> Result<()> {
    let app = mapping("miqro_host/config.yaml")?;
    let english = mapping("miqro_host/translations/en.yaml")?;
    let names = |mapping: &Value| -> BTreeSet<String> {
        let keys = mapping.as_mapping().into_iter().flat_map(Mapping::keys);
        keys.filter_map(|key| Some(key.as_str()?.to_owned()))
            .collect()
    };
    ensure!(names(&app["ports"]) == names(&english["network"]));
    for key in english.keys().filter_map(Value::as_str) {
        ensure!(["configuration", "network"].contains(&key), "{key}");
    }
    Ok(())
}

#[test]
fn app_keeps_its_files_where_home_assistant_maps_them() -> Result<()> {
    let app = mapping("miqro_host/config.yaml")?;
    let path = app["map"][0]["path"].as_str().context("path")?;
    let dockerfile = read("miqro_host/Dockerfile")?;
    let words = words(&dockerfile);
    let configuration = format!("{path}/miqro.yml");
    for word in [configuration.as_str(), "/data", "/data/miqro-host.pid"] {
        ensure!(words.contains(word), "{word} is not in the Dockerfile");
    }
    for arch in texts(&app["arch"]) {
        let script = place::project().join("scripts/package-app");
        let script = std::fs::read_to_string(script)?;
        ensure!(
            script.contains(&format!("/{arch}.tar\"")),
            "no script makes the file system for {arch}"
        );
    }

    Ok(())
}
