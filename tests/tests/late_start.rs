//! Components that are compiled while the host runs: at the start, at a swap, too long, or in vain. The compiler is a process that
//! the tests stop, so that they decide when it is ready.

use anyhow::{Context, Result};
use miqro_tests::host::{Setup, command_in};
use miqro_tests::process::{Process, run_to_end, signal};
use miqro_tests::{Client, Deadline, Host, Mosquitto, guests};
use serde_json::json;

/// Functions of the large component: it takes seconds to compile.
const FUNCTIONS: usize = 300;

/// The compiler of a host, stopped until it is continued or dropped.
struct Compiler(u32);

impl Compiler {
    /// Waits until the host compiles, and stops the compiler.
    async fn stopped(host: &Process) -> Result<Self> {
        let begun = async {
            loop {
                // before its program runs, a stopped process would hold up the host that starts it
                if let Some(child) = host.children()?.into_iter().find(|child| compiles(*child)) {
                    return Ok::<_, anyhow::Error>(child);
                }
                tokio::task::yield_now().await;
            }
        };

        let child = Deadline::new().wait("the compiler", begun).await??;
        signal(child, "STOP")?;
        Ok(Self(child))
    }

    fn proceed(self) {}
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // an error means that it has been killed
        let _ = signal(self.0, "CONT");
    }
}

/// Whether a process runs the compiler, and not yet a copy of the host.
fn compiles(process: u32) -> bool {
    let arguments = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    arguments
        .split(|byte| *byte == 0)
        .any(|argument| argument == b"compile")
}

/// A host with a relay `small` and a relay `large` whose component takes seconds to compile. Nothing is compiled yet.
fn setup(setup: Setup) -> Setup {
    setup
        .top("cache_dir", json!("compiled"))
        .service("small", "relay", json!({}))
        .service("large", "relay", json!({}))
}

/// Replaces the component of `large` while the host does not run, so that it has to be compiled at the next start.
fn enlarge(host: &Host, mark: u8) -> Result<()> {
    let large = guests::large(&guests::component("relay")?, FUNCTIONS);
    host.replace("large", &guests::marked(&large, mark))
}

/// Waits for a message on `topic` and returns its payload.
async fn payload(client: &mut Client, topic: &str) -> Result<String> {
    loop {
        let message = client.next().await?;
        if message.topic == topic {
            return Ok(message.text());
        }
    }
}

#[tokio::test]
async fn neighbours_run_while_a_component_is_compiled() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let host = Host::on(broker.port()).broker("client_id", json!("late-start"));
    let mut host = setup(host).start().await?;
    host.stop().await?;
    enlarge(&host, 1)?;

    // the broker keeps this for the session, since the former instance has subscribed to it
    let mut client = host.client().await?;
    client.subscribe("service/+/out", 1).await?;
    client.publish("service/large/in", "while stopped").await?;
    host.restart()?;
    let compiler = Compiler::stopped(host.process()).await?;
    client
        .publish("service/large/in", "while compiling")
        .await?;
    client.publish("service/small/in", "to a neighbour").await?;
    assert_eq!(
        payload(&mut client, "service/small/out").await?,
        "to a neighbour",
        "{}",
        host.output().told("the neighbour")
    );

    let mut watcher = host.client().await?;
    watcher.subscribe("service/large/online", 1).await?;
    assert_eq!(watcher.next().await?.text(), "0", "it does not run yet");
    compiler.proceed();
    for text in ["while stopped", "while compiling"] {
        let found = payload(&mut client, "service/large/out").await;
        assert_eq!(found?, text, "{}", host.output().told("the late service"));
    }
    assert_eq!(watcher.next().await?.text(), "1");
    Ok(())
}

#[tokio::test]
async fn the_embedded_broker_listens_while_a_component_is_compiled() -> Result<()> {
    let large = guests::large(&guests::component("relay")?, FUNCTIONS);
    let host = setup(Host::embedded()?).file("large.wasm", large).spawn()?;
    let compiler = Compiler::stopped(host.process()).await?;
    host.output().says(0, "embedded broker listening").await?;
    let mut client = host.client().await?;
    client.subscribe("service/large/online", 1).await?;
    host.output()
        .says(0, "running services=2 starting=")
        .await?;
    host.output().says(0, "compiling large.wasm (1").await?;
    compiler.proceed();
    while client.next().await?.text() != "1" {}
    Ok(())
}

#[tokio::test]
async fn a_component_that_takes_too_long_is_refused() -> Result<()> {
    let mut host = setup(Host::embedded()?)
        .top("compile_timeout", json!("1s"))
        .start()
        .await?;
    host.stop().await?;
    enlarge(&host, 3)?;
    host.restart()?;
    let compiler = Compiler::stopped(host.process()).await?;
    let line = host.output().says(0, "compile_timeout").await?;
    assert!(
        line.contains("ERROR")
            && line.contains("large.wasm: the component cannot be compiled: compiling took longer than the 1s of compile_timeout")
            && line.contains("the service starts when there is a better file"),
        "{line}"
    );

    drop(compiler);

    // a better file is taken
    let relay = guests::component("relay")?;
    host.replace_and_wait("large", &relay, "takes over").await?;
    host.online().await
}

#[tokio::test]
async fn a_late_component_that_is_broken_stops_only_its_service() -> Result<()> {
    let mut host = setup(Host::embedded()?).start().await?;
    host.stop().await?;
    host.replace("large", &broken()?)?;
    host.restart()?;
    let line = host.output().says(0, "better file").await?;
    assert!(
        line.contains("large.wasm: the component is not valid"),
        "{line}"
    );
    let mut client = host.client().await?;
    client.subscribe("service/small/out", 1).await?;
    client.publish("service/small/in", "hello").await?;
    assert_eq!(client.next().await?.text(), "hello");
    Ok(())
}

#[tokio::test]
async fn a_named_component_that_is_broken_ends_the_host() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("broken.wasm"), broken()?)?;
    let port = miqro_tests::place::free_port()?;
    std::fs::write(
        folder.path().join("miqro.yml"),
        format!("broker: {{embedded: {{listen: \"127.0.0.1:{port}\"}}}}\ncache_dir: compiled\n"),
    )?;
    let mut command = command_in(folder.path())?;
    let said = run_to_end(command.args(["run", "broken.wasm"])).await?;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("broken.wasm: the component is not valid"),
        "{said:?}"
    );
    Ok(())
}

/// A large component with a function that is not valid: only the compiler finds out.
fn broken() -> Result<Vec<u8>> {
    let mut large = guests::large(&guests::component("relay")?, FUNCTIONS);
    let end = large.len() - 1;
    // the last byte was the end of the last function
    large[end] = 0x01;
    Ok(large)
}

#[tokio::test]
async fn a_swap_says_that_it_compiles() -> Result<()> {
    let host = setup(Host::embedded()?).start().await?;
    let line = host.output().lines().len();
    enlarge(&host, 4)?;
    let compiler = Compiler::stopped(host.process()).await?;
    host.output().says(line, "compiling large.wasm (1").await?;
    compiler.proceed();
    host.output().says(line, "takes over").await.map(drop)
}

/// Files that change while they are compiled for the first time are looked at afterwards.
#[tokio::test]
async fn a_file_that_changes_meanwhile_is_taken_afterwards() -> Result<()> {
    let mut host = setup(Host::embedded()?).start().await?;
    host.stop().await?;
    enlarge(&host, 5)?;
    host.restart()?;
    let compiler = Compiler::stopped(host.process()).await?;
    host.output().says(0, "running").await?;
    host.replace("large", &guests::marked(&guests::component("relay")?, 6))?;
    compiler.proceed();
    host.output().says(0, "takes over").await?;
    host.online().await.context("after the swap")
}
