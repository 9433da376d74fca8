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
        both.contains("behind_proxy: true") && both.contains("write users or tokens for it"),
        "{both}"
    );
    let proxy = problems(&format!("web: {{listen: '0.0.0.0:9000', {TOKENS}}}"));
    assert!(
        proxy.contains("behind_proxy: true") && !proxy.contains("write users or tokens"),
        "{proxy}"
    );
    assert!(
        problems("web: {listen: '0.0.0.0:9000', behind_proxy: true}")
            .contains("write users or tokens")
    );
    assert!(
        problems("web: {listen: '0.0.0.0:9000', behind_proxy: true, tokens: []}")
            .contains("write users or tokens")
    );
    assert!(problems("web: {behind_proxy: true}").contains("write users or tokens"));

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

const HASH: &str =
    "$argon2id$v=19$m=16,t=2,p=1$c2FsdHNhbHRzYWx0$6MO7VprHHXGfSkQ0LPGyzMVkZx0gOtcNOnMNDDUlcFI";

#[test]
fn public_address_with_tls_and_users_needs_no_proxy() {
    let alone = problems("web: {listen: '0.0.0.0:9000', tls: {certfile: a.crt}}");
    assert!(
        alone.contains("write users or tokens") && !alone.contains("behind_proxy"),
        "{alone}"
    );

    let users = format!("users: [{{name: anna, role: operate, password_hash: '{HASH}'}}]");
    let web = quiet(&format!(
        "web: {{listen: '0.0.0.0:9000', tls: {{certfile: a.crt, keyfile: a.key}}, {users}}}"
    ));
    let shown = format!("{}{web:?}", web.to_yaml());
    let web = web.web.unwrap();
    let tls = web.tls.unwrap();
    assert!(tls.certificate.ends_with("a.crt") && tls.key.ends_with("a.key"));
    assert_eq!(
        (web.users[0].name.as_str(), web.users[0].role),
        ("anna", Role::Operate)
    );
    assert!(
        shown.contains("password_hash: '***'") && !shown.contains("c2FsdHNhbHRzYWx0"),
        "{shown}"
    );

    let single = quiet(&format!("web: {{tls: {{certfile: both.pem}}, {users}}}"));
    assert!(single.web.unwrap().tls.unwrap().key.ends_with("both.pem"));
    assert!(problems("web: {tls: {keyfile: a.key}}").contains("certfile"));
}

#[test]
fn users_have_a_hash_and_a_name_of_their_own() {
    let user = |hash: &str| format!("{{name: anna, password_hash: '{hash}'}}");
    let twice = format!("web: {{users: [{}, {}]}}", user(HASH), user(HASH));
    assert!(problems(&twice).contains("\"anna\" is there already"));
    assert!(problems("web: {users: [{name: anna}]}").contains("hash-password"));
    assert!(problems("web: {users: [{name: anna, password: secret}]}").contains("password_hash"));
    let plain = problems(&format!("web: {{users: [{}]}}", user("secret")));
    assert!(
        plain.contains("expected the hash of a password") && !plain.contains("secret"),
        "{plain}"
    );
}
