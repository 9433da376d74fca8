//! The section `web`: off until it is written, and safe on an address that others can reach.

use super::{problems, quiet, warnings};
use crate::config::Role;

const TOKENS: &str = "tokens: [{name: anna, role: operate, token: 0123456789abcdef}]";

#[test]
fn there_is_no_server_until_it_is_configured() {
    assert_eq!(quiet("broker:\n").web, None);
    let web = quiet("web: {listen: '127.0.0.1:9000'}").web.unwrap();
    assert_eq!((web.listen.port(), web.tokens.len()), (9000, 0));
}

#[test]
fn public_address_demands_a_proxy_and_tokens() {
    let both = problems("web: {listen: '0.0.0.0:9000'}");
    assert!(
        both.contains("behind_proxy: true") && both.contains("write tokens for it"),
        "{both}"
    );
    let proxy = problems(&format!("web: {{listen: '0.0.0.0:9000', {TOKENS}}}"));
    assert!(
        proxy.contains("behind_proxy: true") && !proxy.contains("write tokens"),
        "{proxy}"
    );
    assert!(problems("web: {listen: '0.0.0.0:9000', behind_proxy: true}").contains("write tokens"));
    assert!(
        problems("web: {listen: '0.0.0.0:9000', behind_proxy: true, tokens: []}")
            .contains("write tokens")
    );
    assert!(problems("web: {behind_proxy: true}").contains("write tokens"));

    let web = quiet(&format!(
        "web: {{listen: '0.0.0.0:9000', behind_proxy: true, hosts: [House.example], {TOKENS}}}"
    ));
    let web = web.web.unwrap();
    assert_eq!(
        (web.hosts, web.tokens[0].role),
        (vec!["house.example".to_owned()], Role::Operate)
    );
}

#[test]
fn tokens_are_named_once_long_and_never_shown() {
    let text =
        "web: {tokens: [{name: a, token: 0123456789abcdef}, {name: a, token: 0123456789abcdefg}]}";
    assert!(problems(text).contains("has the name or the token of \"a\""));
    assert!(problems("web: {tokens: [{name: a}]}").contains("has no token"));
    assert!(
        problems("web: {tokens: [{name: a, role: boss, token: 0123456789abcdef}]}")
            .contains("operate")
    );
    assert!(warnings("web: {tokens: [{name: a, token: short}]}").contains("can be guessed"));

    let config = quiet(&format!("web: {{{TOKENS}}}"));
    let shown = format!("{}{config:?}", config.to_yaml());
    assert!(
        shown.contains("token: '***'") && !shown.contains("0123456789abcdef"),
        "{shown}"
    );
}
