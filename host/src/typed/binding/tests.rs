//! Tests of bindings.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::typed::interface::Function;
use crate::typed::types::{Field, Name, Type};

fn function(name: &str, parameters: &[&str], result: Option<Type>) -> Function {
    let parameters = parameters.iter().map(|name| Field {
        name: Name::new(*name),
        ty: Type::S32,
    });
    Function {
        name: name.to_owned(),
        parameters: parameters.collect(),
        result,
    }
}

fn hello() -> Interface {
    Interface::of_test(
        "io:world/hello@1.0.0",
        vec![
            function("get-last", &[], Some(Type::S32)),
            function("set-last", &["last"], None),
            function("say", &["msg"], Some(Type::S32)),
        ],
    )
}

fn signals() -> Interface {
    Interface::of_test(
        "io:world/hello-signals@1.0.0",
        vec![function("just-said", &["msg"], None)],
    )
}

fn provider() -> ComponentInterfaces {
    ComponentInterfaces {
        exports: vec![hello()],
        imports: vec![signals()],
    }
}

fn caller() -> ComponentInterfaces {
    ComponentInterfaces {
        exports: vec![signals()],
        imports: vec![hello()],
    }
}

fn calls(interface: &str) -> TypedInterfaces {
    TypedInterfaces {
        serve: None,
        call: vec![Call::new(InterfaceId::parse(interface).unwrap())],
    }
}

fn topic(text: &str) -> Topic {
    Topic::new(text.to_owned()).unwrap()
}

fn filters(binding: &Binding) -> Vec<String> {
    let subscriptions = binding.subscriptions().unwrap();
    subscriptions
        .iter()
        .map(|subscription| subscription.filter.to_string())
        .collect()
}

#[test]
fn exports_are_served_by_default_with_their_signals() {
    let binding = Binding::new(&provider(), &TypedInterfaces::default()).unwrap();

    assert_eq!(
        filters(&binding),
        ["io.world/Hello/rpc/+", "io.world/Hello/set/+"]
    );
    let member = |text| binding.member(&topic(text));
    assert_eq!(
        member("io.world/Hello/rpc/say"),
        Some(Member::Operation(0, 0))
    );
    assert_eq!(member("io.world/Hello/set/last"), Some(Member::Set(0, 0)));
    assert_eq!(member("io.world/Hello/rpc/sya"), Some(Member::Unknown(0)));
    assert_eq!(member("io.world/Hello/rpc/say/cli/result"), None);
    assert_eq!(member("io.world/Hello/prop/last"), None);
    assert_eq!(member("service/hello/x"), None);
    assert_eq!(binding.imports, [[Target::Emit(0, 0)]]);
    assert!(binding.has_properties());
}

#[test]
fn imports_are_called_when_the_configuration_says_so() {
    let binding = Binding::new(&caller(), &calls("io:world/hello")).unwrap();

    assert_eq!(filters(&binding), ["io.world/Hello/sig/+"]);
    let member = binding.member(&topic("io.world/Hello/sig/justSaid"));
    assert_eq!(member, Some(Member::Signal(0, 0)));
    let targets = [
        Target::Get(0, 0),
        Target::Set(0, 0),
        Target::Operation(0, 0),
    ];
    assert_eq!(binding.imports, [targets]);
    assert!(binding.served.is_empty());
}

#[test]
fn shared_calls_are_subscribed_to_in_their_group() {
    let serve = Serve {
        share: Some("hosts".to_owned()),
        ..Serve::new(InterfaceId::parse("io:world/hello").unwrap())
    };
    let typed = TypedInterfaces {
        serve: Some(vec![serve]),
        call: Vec::new(),
    };
    let binding = Binding::new(&provider(), &typed).unwrap();
    let expected = [
        "$share/hosts/io.world/Hello/rpc/+",
        "$share/hosts/io.world/Hello/set/+",
    ];
    assert_eq!(filters(&binding), expected);
}

#[test]
fn import_without_a_target_is_refused_with_the_line_that_helps() {
    let error = Binding::new(&caller(), &TypedInterfaces::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the component imports io:world/hello@1.0.0, which this host does not offer; to call it over the network, write \
         `call: ['io:world/hello@1.0.0']` into the section of the service"
    );
}

#[test]
fn interfaces_that_the_component_lacks_are_named() {
    let error = Binding::new(&provider(), &calls("io:world/other")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "call: the component does not import io:world/other; it imports io:world/hello-signals@1.0.0"
    );
    let typed = TypedInterfaces {
        serve: Some(vec![Serve::new(InterfaceId::parse("io:world/x").unwrap())]),
        call: Vec::new(),
    };
    let error = Binding::new(&provider(), &typed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "serve: the component does not export io:world/x; it exports io:world/hello@1.0.0"
    );
}

#[test]
fn nothing_is_served_when_the_list_is_empty() {
    let component = ComponentInterfaces {
        exports: vec![hello()],
        imports: Vec::new(),
    };
    let typed = TypedInterfaces {
        serve: Some(Vec::new()),
        call: Vec::new(),
    };
    assert!(Binding::new(&component, &typed).unwrap().is_empty());
}
