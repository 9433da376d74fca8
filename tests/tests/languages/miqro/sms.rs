//! miqro-rutos-sms, with a router that answers as its documentation says.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use miqro_tests::Web;
use miqro_tests::web::Request;
use serde_json::{Value, json};

use super::conversation::Conversation;
use super::{Original, Said, ours, project, told};
use crate::guest_sms::Router;

const MODULE: &str = "miqro_rutos_sms.service";

fn section(web: &Web) -> Value {
    json!({
        "host": "127.0.0.1", "port": web.port(), "username": "user1", "password": "a&b", "delete_after": { "days": 1 },
        "grants": { "http": [format!("127.0.0.1:{}", web.port())] },
    })
}

/// Texts are sent, received and deleted: everything that is said, and the requests to the router without its port.
async fn exchange(
    port: u16,
    name: &str,
    router: &Router,
    web: &mut Web,
) -> Result<(Said, BTreeSet<String>)> {
    let mut sms = Conversation::start(port, name, &[]).await?;
    let sent = ("sent/single/0037060000001", "OK");
    sms.wakes("send/single/0037060000001", "Grüße & mehr = 100%", sent)
        .await?;
    sms.tell("send/group/family", "two words").await?;
    sms.hears(&[("sent/group/family", "OK")]).await?;

    // the next list is asked for in 20 seconds
    router.receives(["4", "Wed Dec 28 17:19:31 2022", "Tarifinfo", "Welcome: hi"]);
    router.receives(["5", "Thu Jan 01 00:00:00 2099", "+41790000000", "later"]);
    let heard = [
        ("received", "Welcome: hi"),
        ("deleted", "OK"),
        ("received", "later"),
    ];
    sms.hears(&heard).await?;
    sms.tell("delete", "5").await?;
    sms.hears(&[("deleted", "OK")]).await?;
    sms.tell("delete", "9").await?;
    sms.hears(&[("deleted", "no message with this index")])
        .await?;

    let shown =
        |request: Request| format!("{} {} {:?}", request.method, request.path, request.query);
    let asked = web.taken().into_iter().map(shown).collect();
    Ok((sms.said(), asked))
}

#[tokio::test]
#[ignore = "needs the toolchains: make test-languages"]
async fn published_sms_service_says_and_asks_the_same() -> Result<()> {
    let router = Router::default();
    let mut web = router.serve()?;
    let original = Original::of("rutos_sms", MODULE, &section(&web)).await?;
    let exchanged = exchange(original.port(), "rutos_sms", &router, &mut web).await;
    let (theirs, their_requests) = original.told(exchanged)?;
    drop(original);

    let router = Router::default();
    let mut web = router.serve()?;
    let project = project("rutos-sms", MODULE, &[])?;
    let running = ours(&project, &section(&web)).await?;
    let exchanged = exchange(running.port, "rutos-sms", &router, &mut web).await;
    let (said, requests) = told(&running, exchanged)?;
    let differences: Vec<_> = said.symmetric_difference(&theirs).collect();
    ensure!(differences.is_empty(), "{differences:#?}");
    ensure!(
        requests == their_requests,
        "{requests:#?} and {their_requests:#?}"
    );
    ensure!(requests.len() == 6, "{requests:#?}");
    Ok(())
}
