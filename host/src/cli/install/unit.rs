//! Pure: the text of the systemd unit. In: program, configuration, components, user. Out: the unit, and what its reader should
//! know about it. Owns nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Broker, Config};

/// How a unit begins that `install` has written.
pub(super) const MARK: &str = "# Written by miqro-host install.";

/// What goes into the unit. All paths are absolute.
pub(super) struct Unit<'a> {
    /// Its name, which is also that of its directories.
    pub name: &'a str,
    /// The host.
    pub program: PathBuf,
    /// Its configuration.
    pub config: Option<PathBuf>,
    /// The components on its command line.
    pub files: Vec<PathBuf>,
    /// As whom it runs; `None`: as a user that systemd makes up.
    pub user: Option<&'a str>,
}

/// What the host does not need and therefore does not get.
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
    /// The unit.
    pub(super) fn text(&self, config: &Config) -> String {
        let name = self.name;
        let user = self.user.map_or_else(
            || "DynamicUser=yes".to_owned(),
            |user| format!("User={user}"),
        );
        let home = if self.is_in(&["/home", "/root"]) {
            "read-only"
        } else {
            "yes"
        };
        // longer than the host's own deadline, so that systemd does not cut it short
        let stop = (config.stop_deadline + Duration::from_secs(10)).as_secs();
        let writable: String = writable(config)
            .iter()
            .map(|path| format!("ReadWritePaths={}\n", quoted(path)))
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
            ExecReload=kill -HUP $MAINPID\n\
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

    /// What to look after.
    pub(super) fn hints(&self, config: &Config) -> Vec<String> {
        let who = self.user.unwrap_or("a user that systemd makes up");
        let mut hints = vec![format!(
            "it runs as {who}, who must be able to read the configuration and the components"
        )];
        if self.is_in(&["/tmp", "/var/tmp"]) {
            hints.push(
                "something of it lies in /tmp, where the unit does not see it; move it elsewhere"
                    .to_owned(),
            );
        }
        for path in writable(config) {
            hints.push(format!(
                "{} must be there and writable for that user",
                path.display()
            ));
        }
        hints
    }

    fn command(&self) -> String {
        let mut words = vec![quoted(&self.program), "run".to_owned()];
        if let Some(config) = &self.config {
            words.extend(["--config".to_owned(), quoted(config)]);
        }
        words.extend(self.files.iter().map(|file| quoted(file)));
        words.join(" ")
    }

    /// Whether anything that the host reads lies in one of these directories.
    fn is_in(&self, directories: &[&str]) -> bool {
        let mut read = self.files.iter().chain(&self.config).chain([&self.program]);
        read.any(|path| {
            directories
                .iter()
                .any(|directory| path.starts_with(directory))
        })
    }
}

/// Directories that the configuration names for writing.
fn writable(config: &Config) -> Vec<&Path> {
    let data = if let Broker::Embedded(broker, _) = &config.broker {
        broker.data_dir.as_deref()
    } else {
        None
    };
    data.into_iter()
        .chain(config.cache_dir.as_deref())
        .collect()
}

/// A path as a word of a unit file: `%` and `$` stand for something there, and so do quotes, blanks and backslashes
/// (systemd.service(5), "Command lines").
fn quoted(path: &Path) -> String {
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
        let config = Config::read(yaml, None, Selection::All).unwrap().config;
        let (program, files) = (
            program.into(),
            vec!["/opt/my services/echo 100%.wasm".into()],
        );
        Unit {
            name: "house",
            program,
            config: Some("/etc/miqro.yml".into()),
            files,
            user,
        }
        .text(&config)
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
}
