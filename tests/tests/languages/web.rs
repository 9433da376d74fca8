//! JavaScript with the Web's interfaces: `miqro-host build --web`.

use anyhow::{Result, ensure};
use miqro_tests::Web;
use miqro_tests::web::Answer;

use super::{Project, Running};

const SOURCE: &str = "import { on, publish } from 'miqro-sdk';

export * from 'miqro-sdk/service';

on('echo', async (address) => {
  const response = await fetch(address);
  publish('fetched', `${response.status} ${await response.text()}`);
}, { as: 'text' });
";

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn a_call_waits_for_what_it_fetches() -> Result<()> {
    let web = Web::start(|request| Answer::ok(request.path.clone()))?;
    let project = Project::new("ts")?;
    std::fs::write(project.file("src/app.ts"), SOURCE)?;
    let built = project.host(&["build", "--web"])?;
    ensure!(built.success, "{}", built.text);

    let section = format!(
        "{{limits: {{call: 60s}}, grants: {{http: ['127.0.0.1:{}']}}}}",
        web.port()
    );
    let arguments = ["run", &project.component()];
    let running = Running::start_with(&project, &arguments, &section).await?;
    let address = format!("http://127.0.0.1:{}/weather", web.port());
    let fetched = running.ask(address, "fetched").await?;
    ensure!(fetched == "200 /weather", "{fetched:?}");
    Ok(())
}

/// The other engine cannot wait, and says so.
#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn waiting_without_the_web_is_an_error() -> Result<()> {
    let project = Project::new("ts")?;
    std::fs::write(project.file("src/app.ts"), SOURCE)?;
    project.build()?;

    let arguments = ["run", &project.component()];
    let running = Running::start_with(&project, &arguments, "{limits: {attempts: 1}}").await?;
    running.send("http://127.0.0.1/").await?;
    running.says(0, "use miqro-host build --web").await?;
    Ok(())
}
