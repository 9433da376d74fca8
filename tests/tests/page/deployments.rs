//! Components that are dropped on the page, or chosen there.

use anyhow::Result;
use miqro_tests::{Host, Mosquitto, guests, place};
use serde_json::json;

use super::{finishes, pictures, step, web};

#[tokio::test]
async fn dropped_components_are_shown_compared_and_promoted() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let port = place::free_port()?;
    let section = json!({
        "differs": { guests::version(2): true },
        "broken_start": { guests::version(3): "told to break" },
    });
    let host = Host::on(broker.port())
        .service("probe", "contract-swap", section)
        .top("web", web(port))
        .start()
        .await?;

    let files = tempfile::TempDir::new()?;
    std::fs::write(files.path().join("notes.txt"), "not a component")?;
    std::fs::write(files.path().join("broken.wasm"), guests::swap(3)?)?;
    std::fs::write(files.path().join("next.wasm"), guests::swap(2)?)?;
    let mut command = step("deploy", port)?;
    command.arg(files.path());
    finishes(command).await?;

    assert_eq!(std::fs::read(host.file("probe"))?, guests::swap(2)?);
    for said in ["upload of", "start of version", "deployment of version"] {
        host.output()
            .wait_for(said, |line| {
                line.contains(said) && line.contains("by \"anna\"")
            })
            .await?;
    }

    for name in ["deploy", "shadow"] {
        let picture = pictures()?.join(format!("{name}.png"));
        assert!(std::fs::metadata(&picture)?.len() > 10_000, "{picture:?}");
    }
    Ok(())
}
