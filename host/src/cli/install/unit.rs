//! The text of the systemd unit, and hints for its reader.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Broker, Config};

/// First words of a unit that `install` has written.
pub(super) const MARK: &str = "# Written by miqro-host install.";

/// Values for the unit. All paths are absolute.
pub(super) struct Unit<'a> {
    /// Name of the unit and of its directories.
    pub name: &'a str,
    /// Path of the host.
    pub program: PathBuf,
    /// Path of the configuration.
    pub config: Option<PathBuf>,
    /// Components on the command line.
    pub files: Vec<PathBuf>,
    /// Files and directories that the configuration names.
    pub named: BTreeSet<PathBuf>,
    /// User to run as; `None`: a dynamic user of systemd.
    pub user: Option<&'a str>,
    /// Whether deployments may replace component files.
    pub deploy: bool,
}

/// Restrictions of rights that the host does not need.
const HARDENING: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
CapabilityBoundingSet=
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077
# services are compiled to machine code when they are loaded
MemoryDenyWriteExecute=no
";

impl Unit<'_> {
    /// Text of the unit.
    pub(super) fn text(&self, config: &Config) -> String {
        let name = self.name;
        let user = self.user.map_or_else(
            || "DynamicUser=yes".to_owned(),
            |user| format!("User={user}"),
        );
        // ReadWritePaths opens single folders of it
        let home = if self.is_in(&["/home", "/root"]) {
            "read-only"
        } else {
            "yes"
        };
        // longer than the host's own deadline, so that systemd does not kill it before
        let stop = (config.host.stop_deadline + Duration::from_secs(10)).as_secs();
        let writable: String = self
            .writable(config)
            .iter()
            .map(|path| format!("ReadWritePaths={}\n", quote(path)))
            .collect();
        format!(
            "{MARK} Changes to it are lost when that is run again; put them into a drop-in (systemctl edit {name}).\n\
            [Unit]\n\
            Description=MQTT services as WebAssembly components (MIQRO host)\n\
            Wants=network-online.target\n\
            After=network-online.target\n\
            \n\
            [Service]\n\
            Type=notify\n\
            NotifyAccess=main\n\
            ExecStart={}\n\
            # returns freed blocks of 256 KiB and more to the system, such as those of a component that was loaded\n\
            Environment=MALLOC_MMAP_THRESHOLD_=262144\n\
            ExecReload=/bin/sh -c \"kill -HUP $$MAINPID\"\n\
            Restart=always\n\
            RestartSec=5s\n\
            WatchdogSec=30s\n\
            TimeoutStartSec=5min\n\
            TimeoutStopSec={stop}s\n\
            {user}\n\
            StateDirectory={name}\n\
            CacheDirectory={name}\n\
            RuntimeDirectory={name}\n\
            ProtectHome={home}\n\
            {writable}{HARDENING}\
            \n\
            [Install]\n\
            WantedBy=multi-user.target\n",
            self.command()
        )
    }

    /// Hints for the operator.
    pub(super) fn hints(&self, config: &Config) -> Vec<String> {
        let user = self.user.unwrap_or("a dynamic user of systemd");
        let mut hints = vec![format!(
            "it runs as {user}, which needs read access to the configuration and the components"
        )];
        if self.is_in(&["/tmp", "/var/tmp"]) {
            hints.push(
                "some of its files are in /tmp, which the unit does not see; move them elsewhere"
                    .to_owned(),
            );
        }

        for path in self.writable(config) {
            hints.push(format!(
                "{} must exist, with write access for that user",
                path.display()
            ));
        }

        hints
    }

    fn command(&self) -> String {
        let mut words = vec![quote(&self.program), "run".to_owned()];
        if let Some(config) = &self.config {
            words.extend(["--config".to_owned(), quote(config)]);
        }
        words.extend(self.files.iter().map(|file| quote(file)));
        words.join(" ")
    }

    /// Directories that the host writes to: those of the configuration, those that services may change, and with deployments those of
    /// the components.
    fn writable(&self, config: &Config) -> BTreeSet<PathBuf> {
        let data = match &config.broker {
            Broker::Embedded(broker, _) => broker.data_dir.as_deref(),
            Broker::Remote(_) => None,
        };
        let state = config.state_file.as_deref().and_then(Path::parent);
        let services = config.services.iter();
        let granted = services.clone().flat_map(|service| {
            let directories = service.grants.directories.iter();
            directories.filter(|directory| directory.write)
        });
        let granted = granted.map(|directory| directory.path.as_path());
        let components = services
            .filter(|_| self.deploy)
            .filter_map(|service| service.component.as_deref()?.parent());

        // systemd ignores paths with `..`
        let of_host = data.into_iter().chain(config.cache_dir.as_deref());
        let all = of_host.chain(state).chain(granted).chain(components);
        all.map(resolved).collect()
    }

    /// Whether anything that the host reads lies in one of these directories, or leads there by a symbolic link.
    fn is_in(&self, directories: &[&str]) -> bool {
        let mut read = (self.files.iter())
            .chain(&self.config)
            .chain(&self.named)
            .chain([&self.program]);
        read.any(|path| {
            let target = resolved(path);
            let is_below = |directory| path.starts_with(directory) || target.starts_with(directory);
            directories.iter().any(is_below)
        })
    }
}

/// A path without symbolic links and `..`, where it exists.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Quotes a path for a unit file, where `%`, `$`, quotes, spaces and backslashes are special (systemd.service(5), "Command
/// lines").
fn quote(path: &Path) -> String {
    let text = path
        .display()
        .to_string()
        .replace('%', "%%")
        .replace('$', "$$");
    if text
        .chars()
        .all(|c| c.is_alphanumeric() || "/._-+=:,@%$".contains(c))
    {
        return text;
    }

    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Selection;

    fn text(yaml: &str, user: Option<&str>, program: &str) -> String {
        text_with(yaml, user, program, false)
    }

    fn text_with(yaml: &str, user: Option<&str>, program: &str, deploy: bool) -> String {
        let loaded = Config::read(yaml, None, Selection::All).unwrap();
        let program = program.into();
        let files = vec!["/opt/my services/echo 100%.wasm".into()];
        Unit {
            name: "house",
            program,
            config: Some("/etc/miqro.yml".into()),
            files,
            named: loaded.named,
            user,
            deploy,
        }
        .text(&loaded.config)
    }

    #[test]
    fn the_configuration_and_the_components_are_carried_over() {
        let unit = text("", None, "/usr/bin/miqro-host");
        let expected = "\nExecStart=/usr/bin/miqro-host run --config /etc/miqro.yml \"/opt/my services/echo 100%%.wasm\"\n";
        assert!(unit.starts_with(MARK) && unit.contains(expected), "{unit}");
        assert!(
            unit.contains("\nDynamicUser=yes\n") && unit.contains("\nProtectHome=yes\n"),
            "{unit}"
        );
        assert!(unit.contains("\nStateDirectory=house\n"), "{unit}");
    }

    #[test]
    fn deployments_may_write_to_the_folders_of_components() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        std::fs::create_dir(&a).unwrap();
        let yaml = format!(
            "services: {{x: {{component: {0}/x.wasm}}, y: {{component: {0}/../a/y.wasm}}, z: {{component: {1}/z.wasm}}}}",
            a.display(),
            b.display()
        );
        for (deploy, expected) in [(true, vec![a, b]), (false, vec![])] {
            let unit = text_with(&yaml, Some("miqro"), "/usr/bin/miqro-host", deploy);
            let written: Vec<PathBuf> = unit
                .lines()
                .filter_map(|line| line.strip_prefix("ReadWritePaths="))
                .map(PathBuf::from)
                .collect();
            assert_eq!(written, expected, "{unit}");
        }
    }

    #[test]
    fn a_user_a_home_directory_and_directories_to_write_are_seen() {
        let yaml = "cache_dir: /var/c\nstop_deadline: 1m\nbroker: {embedded: {data_dir: /var/d}}";
        let unit = text(yaml, Some("miqro"), "/home/anna/miqro-host");
        for line in [
            "User=miqro",
            "ProtectHome=read-only",
            "ReadWritePaths=/var/d",
            "ReadWritePaths=/var/c",
            "TimeoutStopSec=70s",
        ] {
            assert!(unit.contains(&format!("\n{line}\n")), "{line}\n{unit}");
        }

        assert!(!unit.contains("DynamicUser"), "{unit}");
    }

    #[test]
    fn files_of_the_configuration_are_seen_wherever_they_are() {
        let seen = |yaml: &str| text(yaml, Some("miqro"), "/usr/bin/miqro-host");
        for yaml in [
            "services: {x: {component: /home/anna/x.wasm}}",
            "services: {x: {component: /srv/x.wasm, grants: {directories: [{path: /home/anna}]}}}",
            "state_file: /home/anna/state.redb",
            "broker: {host: b}\ntls: {ca_certs: /root/ca.pem}",
        ] {
            assert!(seen(yaml).contains("\nProtectHome=read-only\n"), "{yaml}");
        }

        let link = tempfile::tempdir().unwrap();
        let path = link.path().join("x.wasm");
        std::os::unix::fs::symlink("/root", &path).unwrap();
        let linked = format!("services: {{x: {{component: {}}}}}", path.display());
        assert!(seen(&linked).contains("\nProtectHome=read-only\n"));
    }

    #[test]
    fn directories_that_services_may_change_are_writable() {
        let yaml = "{state_file: /srv/s/state.redb, services: {x: {component: /srv/x.wasm, grants: {directories: [
            {path: /srv/read}, {path: /srv/written, write: true}]}}}}";
        let unit = text(yaml, Some("miqro"), "/usr/bin/miqro-host");
        for directory in ["/srv/s", "/srv/written"] {
            let line = format!("\nReadWritePaths={directory}\n");
            assert!(unit.contains(&line), "{line}{unit}");
        }
        assert!(!unit.contains("/srv/read\n"), "{unit}");
    }
}
