//! The text message service with a router made by the test.

use miqro_sdk::http::HttpRequest;
use miqro_sdk::prelude::*;
use miqro_sdk::test::{Setup, TestHost};

use crate::{Sms, list};

const LIST: &str = "Index: 4
Date: Wed Dec 28 17:19:31 2022
Sender: Tarifinfo
Text: Rate: 5 €
per month
Status: read
------------------------------
Index: 5
Date: Thu Jan 01 00:00:10 2026
Sender: +41790000000
Text: Hi
Status: unread
------------------------------
";

fn setup(more: serde_json::Value) -> Setup<Sms> {
    let mut section = json!({"username": "user1", "password": "a&b"});
    section
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    TestHost::setup().name("rutos_sms").config(section)
}

fn router(request: &HttpRequest) -> Result<(u16, String), String> {
    Ok((
        200,
        if request.url.contains("sms_list") {
            LIST
        } else {
            "OK"
        }
        .to_owned(),
    ))
}

/// The requests to send a text.
fn sendings(host: &TestHost<Sms>) -> Vec<HttpRequest> {
    let mut requests = host.http_requests();
    requests.retain(|request| request.url.contains("sms_send"));
    requests
}

#[test]
fn texts_are_sent_to_numbers_and_groups() {
    let setup = setup(json!({})).answer_http(router);
    let mut host = setup.start().unwrap();
    host.skip(); // texts that the router has received
    host.send("send/single/0037060000001", "Grüße & more")
        .unwrap();
    host.expect_next("sent/single/0037060000001", "OK");
    host.send("send/group/family/close", "hi").unwrap();
    host.expect_next("sent/group/family/close", "OK");
    let requests = sendings(&host);
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[0].url,
        "http://192.168.1.1:80/cgi-bin/sms_send?username=user1&password=a%26b&number=0037060000001&text=Gr%C3%BC%C3%9Fe%20%26%20more"
    );
    assert_eq!(requests[0].timeout, Duration::from_secs(10));
    assert!(requests[1].url.ends_with("group=family%2Fclose&text=hi"));
}

#[test]
fn a_silent_router_is_reported_and_not_asked_again() {
    let mut host = setup(json!({"host": "10.0.0.1", "port": 8080}))
        .start()
        .unwrap();
    host.send("send/single/1", "hi").unwrap();
    host.expect_next(
        "failed/single/1",
        "http: http://10.0.0.1:8080/cgi-bin/sms_send: no connection",
    );
    host.answer_http(|_| Ok((500, "?".to_owned())));
    host.send("delete", "4").unwrap();
    host.expect_next(
        "failed/delete",
        "http: http://10.0.0.1:8080/cgi-bin/sms_delete: status 500",
    );
    host.advance(Duration::from_secs(60)).unwrap();
    assert!(
        host.log()
            .iter()
            .all(|line| !line.message.contains("password"))
    );
}

#[test]
fn a_retained_text_is_not_sent_again_at_each_connection() {
    let mut host = setup(json!({})).start().unwrap();
    host.message("send/single/1").retained().send("hi").unwrap();
    assert!(sendings(&host).is_empty());
}

#[test]
fn received_texts_are_published_once_also_after_a_restart() {
    let setup = setup(json!({"poll": "5s"})).answer_http(router);
    let mut host = setup.start().unwrap();
    host.advance(Duration::from_secs(10)).unwrap();
    let first = host.next_sent().unwrap();
    assert_eq!((first.topic.as_str(), first.qos), ("received", 1));
    assert_eq!(
        first.text(),
        r#"{"index": "4", "date": "Wed Dec 28 17:19:31 2022", "sender": "Tarifinfo", "text": "Rate: 5 \u20ac\nper month", "status": "read"}"#
    );
    assert!(host.next_sent().unwrap().text().contains("+41790000000"));
    host.expect_nothing();
    let mut host = host.restart().unwrap();
    host.advance(Duration::from_secs(10)).unwrap();
    host.expect_nothing();
}

#[test]
fn an_answer_that_is_no_list_makes_nothing_repeat() {
    let mut host = setup(json!({})).start().unwrap();
    for answer in [LIST, "Bad password", LIST] {
        host.answer_http(move |_| Ok((200, answer.to_owned())));
        host.advance(Duration::from_secs(20)).unwrap();
    }
    assert_eq!(host.sent().len(), 2);
}

#[test]
fn old_texts_are_deleted() {
    let setup = setup(json!({"delete_after": {"days": 1}})).answer_http(router);
    let host = setup.start().unwrap();
    assert_eq!(host.last("deleted").as_deref(), Some("OK"));
    let deleted: Vec<String> = host
        .http_requests()
        .into_iter()
        .map(|request| request.url)
        .filter(|url| url.contains("sms_delete"))
        .collect();

    assert_eq!(deleted.len(), 1);
    assert!(deleted[0].ends_with("number=4"));
}

#[test]
fn dates_are_read() {
    let texts = list::read(LIST);
    // date -u -d '2022-12-28 17:19:31' +%s
    assert_eq!(
        texts[0].received(),
        Some(Duration::from_secs(1_672_247_971))
    );
    assert_eq!(
        texts[1].received(),
        Some(Duration::from_secs(1_767_225_610))
    );
    assert_eq!(
        list::Text {
            date: "?".into(),
            ..texts[0].clone()
        }
        .received(),
        None
    );
}
