//! The host as a daemon: in the background, under systemd, with its pid file and its log file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use miqro_tests::process::{Process, Said, run_to_end};
use miqro_tests::{Client, Deadline, guests, host, place};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UnixDatagram;

/// A folder with the echo service, whose embedded broker has a port of its own. A program in the background is killed in the end.
struct Home {
    folder: TempDir,
    port: u16,
}

impl Home {
    fn new() -> Result<Self> {
        let folder = TempDir::new()?;
        let port = place::free_port()?;
        // other users look into it as well
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
        std::fs::write(folder.path().join("echo.wasm"), guests::component("echo")?)?;
        let home = Self { folder, port };
        home.configure(json!({}))?;
        Ok(home)
    }

    fn configure(&self, section: serde_json::Value) -> Result<()> {
        let listen = format!("127.0.0.1:{}", self.port);
        let config = json!({ "broker": { "embedded": { "listen": listen } }, "services": { "echo": section } });
        Ok(std::fs::write(self.path("miqro.yml"), config.to_string())?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn say(&self, arguments: &[&str]) -> Result<Said> {
        let mut command = host::command_in(self.folder.path())?;
        run_to_end(command.args(arguments)).await
    }

    /// `run --daemon` with pid file and log file here, and these arguments.
    async fn daemon(&self, arguments: &[&str]) -> Result<Said> {
        let fixed = [
            "run",
            "--daemon",
            "--pid-file",
            "host.pid",
            "--log-file",
            "host.log",
            "--config",
            "miqro.yml",
        ];

        self.say(&[&fixed[..], arguments].concat()).await
    }

    fn pid(&self) -> Result<u32> {
        let text = std::fs::read_to_string(self.path("host.pid")).context("no pid file")?;
        text.trim()
            .parse()
            .with_context(|| format!("no process id: {text:?}"))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("host.log")).unwrap_or_default()
    }

    /// Waits until the log file has `text`: the host writes it in a thread of its own.
    async fn logs(&self, text: &str) -> Result<()> {
        let written = async {
            while !self.log().contains(text) {
                tokio::task::yield_now().await;
            }
        };
        Deadline::new()
            .wait(format!("{text:?} in the log file"), written)
            .await
            .with_context(|| self.log())
    }

    /// Sends the host a signal.
    async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid()?.to_string();
        let script = "kill -s \"$1\" \"$2\"";
        let said = run_to_end(Command::new("sh").args(["-c", script, "sh", name, &pid])).await?;
        ensure!(said.code == Some(0), "{}", said.err);
        Ok(())
    }

    /// The echo service answers.
    async fn answers(&self) -> Result<()> {
        let mut client = Client::connect(self.port)
            .await
            .with_context(|| self.log())?;
        client.subscribe("service/echo/echo_response", 1).await?;
        client.publish("service/echo/echo", "hello").await?;
        ensure!(
            client.expect("service/echo/echo_response").await?.text() == "hello",
            "another answer"
        );
        Ok(())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Ok(pid) = self.pid() {
            let _ = Command::new("sh")
                .args(["-c", "kill -s KILL \"$1\"", "sh", &pid.to_string()])
                .output();
        }
    }
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
async fn run_daemon_returns_when_services_run() -> Result<()> {
    let home = Home::new()?;
    let said = home.daemon(&["echo.wasm"]).await?;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(0), ""),
        "{}",
        home.log()
    );

    let pid = home.pid()?;
    assert!(said.out.contains(&format!("process {pid}")), "{}", said.out);
    home.answers().await?;
    // a session and a working directory of its own
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    assert_eq!(
        stat.rsplit(") ").next().context("stat")?.split(' ').nth(3),
        Some(pid.to_string().as_str()),
        "{stat}"
    );
    assert_eq!(
        std::fs::read_link(format!("/proc/{pid}/cwd"))?,
        Path::new("/")
    );

    let second = home.daemon(&["echo.wasm"]).await?;
    assert_eq!(second.code, Some(1));
    assert!(
        second.err.contains("a host runs already") && second.err.contains(&pid.to_string()),
        "{}",
        second.err
    );
    let foreground = home
        .say(&["run", "echo.wasm", "--pid-file", "host.pid"])
        .await?;
    assert!(
        foreground.err.contains(&pid.to_string()),
        "{}",
        foreground.err
    );
    assert_eq!(home.pid()?, pid);

    let status = home.say(&["status", "--pid-file", "host.pid"]).await?;
    assert_eq!(
        (status.code, status.out),
        (Some(0), format!("runs: process {pid}\n"))
    );
    let stopped = home.say(&["stop", "--pid-file", "host.pid"]).await?;
    assert_eq!(
        (stopped.code, stopped.err.as_str()),
        (Some(0), ""),
        "{}",
        home.log()
    );

    home.logs("stopped").await?;
    assert_eq!(
        home.say(&["status", "--pid-file", "host.pid"]).await?.code,
        Some(3)
    );
    let nobody = home.say(&["stop", "--pid-file", "host.pid"]).await?;
    assert!(
        nobody.code == Some(1) && nobody.err.contains("no host runs"),
        "{}",
        nobody.err
    );
    Ok(())
}

#[tokio::test]
async fn status_tells_a_host_that_does_not_answer_apart() -> Result<()> {
    let home = Home::new()?;
    let said = home.daemon(&["echo.wasm"]).await?;
    assert_eq!(said.code, Some(0), "{}", home.log());
    let status = [
        "status",
        "--responsive",
        "--pid-file",
        "host.pid",
        "--config",
        "miqro.yml",
    ];

    let answers = home.say(&status).await?;
    assert_eq!(answers.code, Some(0), "{}", answers.out);

    home.signal("STOP").await?;
    let silent = home.say(&status).await?;
    assert!(
        silent.code == Some(4) && silent.out.contains("does not answer"),
        "{}",
        silent.out
    );

    home.signal("CONT").await?;
    let again = home.say(&status).await?;
    assert_eq!(again.code, Some(0), "{}", again.out);
    Ok(())
}

#[tokio::test]
async fn a_start_that_fails_is_said_on_the_terminal_with_an_exit_code() -> Result<()> {
    let home = Home::new()?;
    std::fs::write(home.path("host.log"), "an older line\n")?;
    let said = home.daemon(&["nothing.wasm"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("nothing.wasm") && !said.err.contains("older"),
        "{}",
        said.err
    );
    home.configure(json!({ "limits": { "call": "soon" } }))?;
    let said = home.daemon(&["echo.wasm"]).await?;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("services.echo.limits.call"),
        "{}",
        said.err
    );
    assert_eq!(
        home.say(&["status", "--pid-file", "host.pid"]).await?.code,
        Some(3)
    );
    Ok(())
}

#[tokio::test]
async fn a_pid_file_that_was_left_behind_is_in_nobodys_way() -> Result<()> {
    let home = Home::new()?;
    // of a process that runs, but is not a host
    std::fs::write(home.path("host.pid"), format!("{}\n", std::process::id()))?;
    assert_eq!(
        home.daemon(&["echo.wasm"]).await?.code,
        Some(0),
        "{}",
        home.log()
    );

    let pid = home.pid()?;
    assert_ne!(pid, std::process::id());
    // killed, it leaves its file behind
    run_to_end(Command::new("sh").args(["-c", "kill -s KILL \"$1\"", "sh", &pid.to_string()]))
        .await?;
    let gone = async {
        while home.say(&["status", "--pid-file", "host.pid"]).await?.code != Some(3) {}
        anyhow::Ok(())
    };
    Deadline::new()
        .wait("the end of the process", gone)
        .await??;
    assert_eq!(home.pid()?, pid);
    assert_eq!(
        home.daemon(&["echo.wasm"]).await?.code,
        Some(0),
        "{}",
        home.log()
    );

    home.answers().await
}

#[tokio::test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
async fn another_user_is_taken_by_name() -> Result<()> {
    let home = Home::new()?;
    if std::fs::metadata(home.folder.path())?.uid() != 0 {
        let said = home.daemon(&["echo.wasm", "--uid", "root"]).await?;
        assert!(said.err.contains("only root"), "{}", said.err);
        return Ok(());
    }
    let said = home.daemon(&["echo.wasm", "--uid", "nobody"]).await?;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(0), ""),
        "{}",
        home.log()
    );

    let status = std::fs::read_to_string(format!("/proc/{}/status", home.pid()?))?;
    let line = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };

    let user = line("Uid:");
    let groups = line("Groups:");
    let nobody = run_to_end(Command::new("id").args(["-u", "nobody"]))
        .await?
        .out
        .trim()
        .to_owned();
    assert_eq!(
        user.split_whitespace().filter(|id| *id == nobody).count(),
        4,
        "{status}"
    );
    assert_eq!(
        groups.split_whitespace().count(),
        1,
        "groups of root: {status}"
    );
    home.answers().await?;
    assert_eq!(
        home.say(&["stop", "--pid-file", "host.pid"]).await?.code,
        Some(0)
    );
    // in the foreground the process stays the same
    let arguments = [
        "run",
        "echo.wasm",
        "--config",
        "miqro.yml",
        "--uid",
        "nobody",
        "--pid-file",
        "host.pid",
    ];

    let host = Process::start(
        host::command()?
            .current_dir(home.folder.path())
            .args(arguments),
    )?;
    host.output().says(0, "connected to").await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id()))?;
    assert_eq!(
        status.lines().find(|line| line.starts_with("Uid:")),
        Some(user.as_str()),
        "{status}"
    );
    assert_eq!(home.pid()?, host.id());
    let said = home
        .daemon(&["echo.wasm", "--uid", "nobody-like-this"])
        .await?;
    assert!(
        said.err.contains("there is no user nobody-like-this"),
        "{}",
        said.err
    );
    Ok(())
}

#[tokio::test]
async fn the_log_file_is_opened_again_on_sighup() -> Result<()> {
    let home = Home::new()?;
    let arguments = [
        "run",
        "echo.wasm",
        "--config",
        "miqro.yml",
        "--log-file",
        "host.log",
        "--pid-file",
        "host.pid",
    ];

    let manager = Manager::new(&home)?;
    let host = Process::start(
        manager
            .command()?
            .current_dir(home.folder.path())
            .args(arguments),
    )?;

    manager.hears("READY=1").await?;
    assert_eq!(home.pid()?, host.id());
    home.logs("running").await?;
    std::fs::rename(home.path("host.log"), home.path("host.log.1"))?;
    let said = home.say(&["reload", "--pid-file", "host.pid"]).await?;
    assert_eq!(said.code, Some(0), "{}", said.err);
    manager.hears("RELOADING=1").await?;
    manager.hears("READY=1").await?;
    let stopped = home.say(&["stop", "--pid-file", "host.pid"]).await?;
    assert_eq!(stopped.code, Some(0), "{}", stopped.err);
    home.logs("has not changed").await?;
    home.logs("stopped").await?;
    assert!(!home.log().contains("running"), "{}", home.log());
    assert!(!home.path("host.pid").exists());
    Ok(())
}

/// A service manager that records its notifications.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(home: &Home) -> Result<Self> {
        let path = home.path("notify.socket");
        Ok(Self {
            socket: UnixDatagram::bind(&path)?,
            path,
        })
    }

    /// The host as the service manager starts it.
    fn command(&self) -> Result<Command> {
        let mut command = host::command()?;
        command
            .env("NOTIFY_SOCKET", &self.path)
            .env("WATCHDOG_USEC", "100000");
        command.env("XDG_STATE_HOME", self.path.with_file_name("state"));
        Ok(command)
    }

    /// Waits for a message with this line.
    async fn hears(&self, line: &str) -> Result<()> {
        let heard = async {
            let mut buffer = [0; 4096];
            loop {
                let length = self.socket.recv(&mut buffer).await?;
                if String::from_utf8_lossy(&buffer[..length])
                    .lines()
                    .any(|other| other == line)
                {
                    return anyhow::Ok(());
                }
            }
        };

        Deadline::new().wait(line, heard).await?
    }
}

#[tokio::test]
async fn systemd_hears_when_it_is_ready_alive_reloading_and_stopping() -> Result<()> {
    let home = Home::new()?;
    let manager = Manager::new(&home)?;
    let mut command = manager.command()?;
    let mut host = Process::start(command.current_dir(home.folder.path()).args([
        "run",
        "echo.wasm",
        "--config",
        "miqro.yml",
    ]))?;

    manager.hears("READY=1").await?;
    home.answers().await?;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await?;
    }
    host.signal("HUP")?;
    manager.hears("RELOADING=1").await?;
    manager.hears("READY=1").await?;
    host.signal("TERM")?;
    manager.hears("STOPPING=1").await?;
    assert!(host.ended().await?.success());
    Ok(())
}

#[tokio::test]
async fn lines_for_the_journal_have_a_priority_and_no_time() -> Result<()> {
    let home = Home::new()?;
    let manager = Manager::new(&home)?;
    // the journal is whatever systemd says that stderr is
    let journal = std::fs::File::create(home.path("journal"))?;
    let metadata = journal.metadata()?;
    let mut command = manager.command()?;
    command.env(
        "JOURNAL_STREAM",
        format!("{}:{}", metadata.dev(), metadata.ino()),
    );
    command
        .current_dir(home.folder.path())
        .args(["run", "echo.wasm", "--config", "miqro.yml"]);
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(journal)
        .spawn()?;
    let heard = manager.hears("READY=1").await;
    let killed = Command::new("sh")
        .args(["-c", "kill -s TERM \"$1\"", "sh", &child.id().to_string()])
        .status();
    let ended = child.wait();
    heard?;
    killed?;
    assert!(ended?.success());
    let text = std::fs::read_to_string(home.path("journal"))?;
    assert!(text.contains("<6> INFO app: running"), "{text}");
    assert!(
        text.lines()
            .all(|line| line.starts_with('<') && line.chars().nth(2) == Some('>')),
        "{text}"
    );
    Ok(())
}

#[tokio::test]
async fn install_writes_a_unit_with_the_configuration_carried_over() -> Result<()> {
    let home = Home::new()?;
    let units = home.folder.path().display().to_string();
    let arguments = [
        "install",
        "echo.wasm",
        "--config",
        "miqro.yml",
        "--unit-directory",
        &units,
    ];

    let said = home.say(&arguments).await?;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(
        said.out.contains("systemctl enable --now miqro-host"),
        "{}",
        said.out
    );
    let unit = std::fs::read_to_string(home.path("miqro-host.service"))?;
    let line = format!("run --config {units}/miqro.yml {units}/echo.wasm\n");
    assert!(
        unit.contains("Type=notify") && unit.contains(&line),
        "{unit}"
    );
    verify(&home.path("miqro-host.service")).await?;
    // its own unit it writes again; printed, it is the same
    assert_eq!(home.say(&arguments).await?.code, Some(0));
    let printed = home.say(&[&arguments[..], &["--stdout"]].concat()).await?;
    assert_eq!((printed.code, printed.out), (Some(0), unit));
    // somebody else's it does not replace
    std::fs::write(
        home.path("miqro-host.service"),
        "[Unit]\nDescription=mine\n",
    )?;
    let refused = home.say(&arguments).await?;
    assert!(
        refused.code == Some(1) && refused.err.contains("--force"),
        "{}",
        refused.err
    );
    assert!(std::fs::read_to_string(home.path("miqro-host.service"))?.contains("mine"));
    assert_eq!(
        home.say(&[&arguments[..], &["--force"]].concat())
            .await?
            .code,
        Some(0)
    );

    // a service that cannot run is not installed
    home.configure(json!({ "limits": 3 }))?;
    let wrong = home.say(&arguments).await?;
    assert!(
        wrong.code == Some(1) && wrong.err.contains("services.echo.limits"),
        "{}",
        wrong.err
    );
    Ok(())
}

/// Has systemd look at the unit, where there is systemd.
async fn verify(unit: &Path) -> Result<()> {
    let mut command = Command::new("systemd-analyze");
    command.arg("verify").arg(unit);
    if command.output().is_err() {
        return Ok(());
    }
    let said = run_to_end(&mut command).await?;
    let about: Vec<&str> = said
        .err
        .lines()
        .filter(|line| line.contains("miqro-host"))
        .collect();
    assert!(about.is_empty(), "{about:#?}");
    Ok(())
}
