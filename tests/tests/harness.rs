//! The harness itself: its statements about brokers and clients are true, so that the other tests
//! can rely on it.

use anyhow::Result;
use miqro_tests::client::Options;
use miqro_tests::mosquitto::Setup;
use miqro_tests::{Client, Message, Mosquitto, Properties, Version};

#[tokio::test]
async fn messages_of_every_quality_of_service_arrive_in_both_versions() -> Result<()> {
    let broker = Mosquitto::start().await?;
    for version in [Version::V5, Version::V311] {
        let mut client = Client::with(&Options {
            version,
            ..Options::new(broker.port())
        })
        .await?;
        assert_eq!(client.subscribe("a/#", 2).await?, 2);
        for qos in 0..=2 {
            let sent = Message::new("a/b", format!("payload {qos}")).qos(qos);
            client.send(sent.clone()).await?;
            assert_eq!(client.next().await?, sent);
        }
        client.disconnect().await?;
    }

    Ok(())
}

#[tokio::test]
async fn properties_arrive() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("a", 0).await?;
    let properties = Properties {
        response_topic: Some("answer".into()),
        correlation_data: Some("1".into()),
        content_type: Some("text/plain".into()),
        message_expiry: None,
        utf8: true,
        user_properties: vec![("b".into(), "1".into()), ("a".into(), "2".into())],
    };

    client
        .send(Message::new("a", "b").with(properties.clone()))
        .await?;
    assert_eq!(client.expect("a").await?.properties, properties);
    Ok(())
}

#[tokio::test]
async fn pending_has_all_that_came_before() -> Result<()> {
    let broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    client.subscribe("a/+", 1).await?;
    for topic in ["a/1", "a/2"] {
        client.publish(topic, "").await?;
    }
    let topics: Vec<String> = client
        .pending()
        .await?
        .into_iter()
        .map(|message| message.topic)
        .collect();

    assert_eq!(topics, ["a/1", "a/2"]);
    Ok(())
}

#[tokio::test]
async fn a_persistent_broker_keeps_sessions_through_a_restart() -> Result<()> {
    let mut broker = Mosquitto::with(&Setup {
        persistent: true,
        ..Setup::default()
    })
    .await?;
    let options = Options {
        keep_session: true,
        ..Options::new(broker.port())
    };
    let mut client = Client::with(&options).await?;
    client.subscribe("a", 1).await?;
    client.disconnect().await?;
    Client::connect(broker.port())
        .await?
        .publish("a", "kept")
        .await?;
    broker.stop().await?;
    assert!(
        Client::connect(broker.port()).await.is_err(),
        "the broker is stopped"
    );
    broker.restart().await?;
    let mut client = Client::with(&options).await?;
    assert!(client.session_present());
    assert_eq!(client.next().await?.text(), "kept");
    Ok(())
}

#[tokio::test]
async fn a_killed_broker_breaks_the_connection() -> Result<()> {
    let mut broker = Mosquitto::start().await?;
    let mut client = Client::connect(broker.port()).await?;
    broker.kill()?;
    let error = client
        .next()
        .await
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();

    assert!(error.contains("connection broke"), "{error}");
    Ok(())
}

#[tokio::test]
async fn users_need_their_password() -> Result<()> {
    let users = vec![
        ("ann".to_owned(), "secret".to_owned()),
        ("bob".to_owned(), "word".to_owned()),
    ];
    let broker = Mosquitto::with(&Setup {
        users,
        ..Setup::default()
    })
    .await?;
    let login = |user: &str, password: &str| Options {
        login: Some((user.into(), password.into())),
        ..Options::new(broker.port())
    };
    Client::with(&login("ann", "secret")).await?;
    Client::with(&login("bob", "word")).await?;
    assert!(Client::with(&login("ann", "word")).await.is_err());
    assert!(Client::connect(broker.port()).await.is_err());
    Ok(())
}
