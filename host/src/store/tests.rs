//! Tests of the database with real files.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use bytes::Bytes;

use super::*;
use crate::message::{Message, Qos};
use crate::session::state::{Origin, RestoredMessage};
use crate::topic::{Filter, Topic};

fn set(key: &str, value: &str) -> StateChange {
    StateChange {
        key: key.to_owned(),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
    }
}

fn entries(contents: &Contents, service: &str) -> Vec<(String, String)> {
    let values = contents.state.get(service).into_iter().flatten();
    values
        .map(|(key, value)| (key.clone(), String::from_utf8(value.to_vec()).unwrap()))
        .collect()
}

/// Opens the file, reads what is in it and closes it.
async fn read(path: &Path) -> Contents {
    let (store, contents) = Store::open(path).unwrap();
    store.close().await;
    contents
}

#[tokio::test]
async fn committed_state_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/state.redb");
    let (store, contents) = Store::open(&path).unwrap();
    assert!(
        contents.state.is_empty() && !path.exists(),
        "a file was made before there was anything to keep"
    );
    store
        .commit("a", vec![set("x", "1"), set("y", "2")])
        .await
        .unwrap();
    store.commit("b", vec![set("x", "3")]).await.unwrap();
    store
        .commit(
            "a",
            vec![
                StateChange {
                    key: "y".to_owned(),
                    value: None,
                },
                set("x", "4"),
            ],
        )
        .await
        .unwrap();

    store.close().await;
    let contents = read(&path).await;
    assert_eq!(entries(&contents, "a"), [("x".to_owned(), "4".to_owned())]);
    assert_eq!(entries(&contents, "b"), [("x".to_owned(), "3".to_owned())]);
}

#[tokio::test]
async fn messages_that_wait_come_back_with_everything_that_they_carry() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let (store, _) = Store::open(&path).unwrap();
    let mut message = Message::new(
        Topic::new("t").unwrap(),
        vec![0, 255, 10],
        Qos::ExactlyOnce,
        true,
    );

    let properties = crate::message::Properties {
        response_topic: Some(Topic::new("r").unwrap()),
        correlation_data: Some(Bytes::from_static(&[0, 1])),
        user_properties: vec![("k".to_owned(), "v".to_owned())],
        ..Default::default()
    };

    message.properties = Some(Box::new(properties));
    let origin = Origin {
        service: None,
        name: Some(Arc::from("echo")),
    };
    store.persist(vec![
        PersistOp::Put(7, origin, message.clone()),
        PersistOp::Put(8, Origin::default(), message.clone()),
    ]);
    store.persist(vec![PersistOp::Delete(8)]);
    store.close().await;
    let contents = read(&path).await;
    let [
        RestoredMessage {
            number: 7,
            publisher,
            publication,
        },
    ] = &contents.waiting[..]
    else {
        panic!("{:?}", contents.waiting)
    };

    assert_eq!(
        (publisher.as_deref(), &publication.message),
        (Some("echo"), &message)
    );
    assert_eq!(publication.terms.as_ref().unwrap().kept, Some(7));
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let (store, _) = Store::open(&path).unwrap();
    store.commit("a", vec![set("x", "1")]).await.unwrap();
    store.close().await;
    let whole = fs::read(&path).unwrap();
    let mut wrong = whole.clone();
    wrong[64..4096].fill(0xa5);
    for damage in [
        b"not a database".to_vec(),
        Vec::new(),
        whole[..whole.len() / 3].to_vec(),
        wrong,
    ] {
        fs::write(&path, &damage).unwrap();
        let (store, contents) = Store::open(&path).unwrap();
        assert!(contents.state.is_empty());
        store.commit("a", vec![set("x", "2")]).await.unwrap();
        store.close().await;
        let contents = read(&path).await;
        assert_eq!(entries(&contents, "a"), [("x".to_owned(), "2".to_owned())]);
        let aside = fs::read_dir(directory.path()).unwrap().flatten();
        let aside: Vec<_> = aside
            .filter(|file| file.path().to_string_lossy().contains(".broken-"))
            .collect();
        let [kept] = &aside[..] else {
            panic!("{aside:?}")
        };
        // the database may have tried to repair it, but has not taken anything away
        assert!(kept.metadata().unwrap().len() >= damage.len() as u64);
        fs::remove_file(kept.path()).unwrap();
    }
}

#[tokio::test]
async fn a_locked_or_read_only_state_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let (store, _) = Store::open(&path).unwrap();
    store.commit("a", vec![set("x", "1")]).await.unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("another host uses it"), "{error}");
    let blocked = directory.path().join("state.redb/below");
    let (store, _) = Store::open(&blocked).unwrap();
    let error = store
        .commit("a", vec![set("x", "1")])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot create its directory"), "{error}");
}

#[tokio::test]
async fn version_history_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let version = |number| Version::new([number; 32]);
    let left = |text: &'static str| Snapshot {
        saved: Some(Bytes::from_static(text.as_bytes())),
        state: vec![("a/b".to_owned(), Bytes::from_static(b"1"))],
    };
    let (store, _) = Store::open(&path).unwrap();
    assert_eq!(store.history("a").await.unwrap(), None);
    assert_eq!(
        store.snapshot("a", version(1)).await.unwrap(),
        Snapshot::default()
    );
    let mut history = VersionHistory::default();
    for number in 1..=4 {
        let former = history.set_running(version(number), 2);
        let record = VersionRecord {
            history: history.clone(),
            snapshot: former.map(|former| (former, left("saved"))),
        };
        match number {
            4 => store
                .commit_with("a", vec![set("x", "1")], Some(record))
                .await
                .unwrap(),
            _ => store.record("a", record).await,
        }
    }

    store
        .record(
            "ab",
            VersionRecord {
                history: VersionHistory::default(),
                snapshot: None,
            },
        )
        .await;

    store.close().await;
    let (store, contents) = Store::open(&path).unwrap();
    assert_eq!(entries(&contents, "a"), [("x".to_owned(), "1".to_owned())]);
    assert_eq!(store.history("a").await.unwrap(), Some(history));
    assert_eq!(
        store.snapshot("a", version(3)).await.unwrap(),
        left("saved")
    );
    assert_eq!(
        store.snapshot("a", version(2)).await.unwrap(),
        left("saved")
    );
    assert_eq!(
        store.snapshot("a", version(1)).await.unwrap(),
        Snapshot::default(),
        "it is no longer kept"
    );
    store.close().await;
}

#[tokio::test]
async fn remembered_subscriptions_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let subscription = |filter: &str, qos| Subscription {
        filter: Filter::new(filter).unwrap(),
        qos,
    };
    let first = vec![
        subscription("service/a/#", Qos::AtLeastOnce),
        subscription("+/é/b", Qos::ExactlyOnce),
    ];

    let (store, _) = Store::open(&path).unwrap();
    assert_eq!(store.subscriptions("a").await.unwrap(), None);
    store.remember_subscriptions("a", first.clone()).await;
    store.remember_subscriptions("b", Vec::new()).await;
    assert_eq!(store.subscriptions("a").await.unwrap(), Some(first.clone()));
    store.close().await;

    let (store, _) = Store::open(&path).unwrap();
    assert_eq!(store.subscriptions("a").await.unwrap(), Some(first));
    assert_eq!(store.subscriptions("b").await.unwrap(), Some(Vec::new()));
    let second = vec![subscription("service/a/#", Qos::AtMostOnce)];
    store.remember_subscriptions("a", second.clone()).await;
    assert_eq!(store.subscriptions("a").await.unwrap(), Some(second));
    store.close().await;
}
