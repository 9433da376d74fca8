//! The lists `serve` and `call` of a service.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::{problems, quiet};
use crate::config::{Call, NetworkInterface, Serve, TypedInterfaces, VoidAnswer};
use crate::message::Qos;
use crate::typed::interface::InterfaceId;
use crate::typed::naming::Naming;

fn interface() -> impl Strategy<Value = InterfaceId> {
    r"[a-z]{1,4}:[a-z]{1,4}/[a-z]{1,4}(@1\.0\.[0-9])?"
        .prop_map(|name| InterfaceId::parse(&name).unwrap())
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-zA-Z0-9_]{0,6}"
}

fn naming() -> impl Strategy<Value = Naming> {
    let names = btree_map(word(), word(), 0..3);
    let numbers = btree_map(word(), vec(any::<i64>(), 0..3), 0..3);
    let words = (option::of(word()), option::of(word()), vec(word(), 0..3));
    (words, names, numbers).prop_map(|((module, interface, operations), names, numbers)| Naming {
        module,
        interface,
        names,
        numbers,
        operations,
    })
}

fn network() -> impl Strategy<Value = NetworkInterface> {
    let qos = (0..=2u8).prop_map(|qos| Qos::try_from(qos).unwrap());
    let parts = (interface(), option::of(interface()), naming(), qos);
    parts.prop_map(|(interface, signals, naming, qos)| NetworkInterface {
        interface,
        signals,
        naming,
        qos,
    })
}

pub(super) fn any_typed() -> impl Strategy<Value = TypedInterfaces> {
    let void_answer = prop_oneof![
        Just(VoidAnswer::Zero),
        Just(VoidAnswer::Null),
        Just(VoidAnswer::Nothing),
    ];
    let serve = (network(), void_answer, option::of(word()));
    let serve = serve.prop_map(|(network, void_answer, share)| Serve {
        network,
        void_answer,
        share,
    });
    let call = (network(), 1..100_000u64, any::<bool>(), any::<bool>());
    let call = call.prop_map(|(network, deadline, awaits_void, is_local)| Call {
        network,
        deadline: Duration::from_millis(deadline),
        awaits_void,
        is_local,
    });

    (option::of(vec(serve, 0..3)), vec(call, 0..3))
        .prop_map(|(serve, call)| TypedInterfaces { serve, call })
}

#[test]
fn interface_is_a_name_or_a_section() {
    let config = quiet(
        "services: {a: {component: a.wasm, serve: ['io:world/hello', {interface: 'a:b/c', module: m, name: N, \
         names: {get-it: GET}, enums: {when: [1, 2]}, operations: [get-old], void_answer: 'null', share: g, qos: 2}], \
         call: ['io:world/hello@1.0.0', {interface: 'a:b/c', deadline: 2s, local: true, awaits_void: false}]}}",
    );
    let typed = &config.services[0].typed;

    let serve = typed.serve.as_ref().unwrap();
    let hello = InterfaceId::parse("io:world/hello").unwrap();
    assert_eq!(serve[0], Serve::new(hello.clone()));
    assert_eq!(
        serve[0].network.signals().to_string(),
        "io:world/hello-signals"
    );
    let names = BTreeMap::from([("get-it".to_owned(), "GET".to_owned())]);
    assert_eq!(serve[1].network.naming.names, names);
    assert_eq!(serve[1].network.naming.numbers["when"], [1, 2]);
    assert_eq!(serve[1].network.naming.operations, ["get-old"]);
    assert_eq!(serve[1].void_answer, VoidAnswer::Null);
    assert_eq!(
        (serve[1].share.as_deref(), serve[1].network.qos),
        (Some("g"), Qos::ExactlyOnce)
    );

    assert_eq!(typed.call[0].deadline, Duration::from_secs(30));
    assert!(typed.call[0].awaits_void && !typed.call[0].is_local);
    assert_eq!(typed.call[1].deadline, Duration::from_secs(2));
    assert!(!typed.call[1].awaits_void && typed.call[1].is_local);
}

#[test]
fn everything_is_served_unless_a_list_says_otherwise() {
    let serve = |text: &str| quiet(text).services[0].typed.serve.clone();
    assert_eq!(serve("services: {a: {component: a.wasm}}"), None);
    assert_eq!(
        serve("services: {a: {component: a.wasm, serve: []}}"),
        Some(Vec::new())
    );
}

#[test]
fn wrong_interfaces_are_reported() {
    let error = |text: &str| {
        let text = format!("services: {{a: {{component: a.wasm, {text}}}}}");
        problems(&text)
    };
    assert!(
        error("serve: [hello]")
            .contains("expected an interface such as io:world/hello, found \"hello\"")
    );
    assert!(error("call: [{module: x}]").contains("has no interface"));
    assert!(error("serve: [{interface: 'a:b/c', share: 'x/y'}]").contains("$share"));
    assert!(
        error("serve: [{interface: 'a:b/c', void_answer: one}]")
            .contains("expected one of zero, null, none")
    );
}
