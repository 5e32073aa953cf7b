//! Which backend a session gets, and as whom: routes, HOST, `name@host`, and USER again.

use std::sync::Arc;

use ftpsgate_policies::Glob;
use ftpsgate_policies::route::{AllowedHost, Route};

use super::harness::{Scene, Wire};
use crate::session::{Mode, RequireTls};

fn globs(texts: &[&str]) -> Vec<Glob> {
    texts.iter().map(|text| Glob::any_case(text).unwrap()).collect()
}

fn to(backend: &str) -> Route {
    Route { backend: backend.to_owned(), ..Route::default() }
}

/// Backends `legacy` (0, the default), `acme` (1) and `globex` (2).
fn scene(routes: Vec<Route>) -> Scene {
    let mut scene = Scene::explicit().mode(Mode::Explicit, RequireTls::No);
    for name in ["acme", "globex"] {
        let mut backend = (*scene.settings.backends[0]).clone();
        backend.name = name.into();
        scene.settings.backends.push(Arc::new(backend));
    }
    scene.settings.routes = routes;
    scene
}

fn begin(scene: Scene) -> Wire {
    let mut wire = scene.begin();
    wire.play("C< 220 ready");
    wire
}

/// Entries as an operator writes them.
fn asking_for(entries: &[(&str, Option<u16>)]) -> Scene {
    let mut scene = scene(vec![Route { hosts: globs(&["*.acme.example"]), ..to("acme") }]);
    scene.settings.user_at_host = entries
        .iter()
        .map(|&(host, port)| AllowedHost { host: Glob::any_case(host).unwrap(), port })
        .collect();
    scene
}

#[test]
fn the_first_route_that_matches_else_the_default() {
    let routes = || {
        vec![
            Route { users: globs(&["acme-*"]), ..to("acme") },
            Route { users: globs(&["*-7"]), ..to("globex") },
        ]
    };
    begin(scene(routes())).play("C> USER acme-7\n* connect\n= to 1 acme-7\n= routed 1");
    begin(scene(routes())).play("C> USER globex-7\n* connect\n= to 2 globex-7\n= routed 2");
    begin(scene(routes())).play("C> USER anna\n* connect\n= to 0 anna\n= routed 0");
}

#[test]
fn without_route_and_default_nobody_is_contacted() {
    let mut scene = scene(vec![Route { users: globs(&["acme-*"]), ..to("acme") }]);
    scene.settings.default_backend = None;
    let mut wire = begin(scene);
    wire.play(
        "C> USER anna
         C< 530 There is no server for this user.
         = denied USER anna 530
         C> PASS hunter2
         C< 503 …",
    );
    assert_eq!(wire.session.user(), None);
    wire.play("C> USER acme-7\n* connect\n= to 1 acme-7");
}

#[test]
fn a_route_to_a_backend_that_is_not_there_leads_nowhere() {
    begin(scene(vec![to("nobody")])).play("C> USER anna\nC< 530 …\n= denied USER anna 530");
}

#[test]
fn a_route_asks_for_the_name_in_the_handshake() {
    let routes = || vec![Route { sni: globs(&["acme.example"]), ..to("acme") }];
    let mut wire = begin(scene(routes()));
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake\ntls ok ACME.example\nC> USER a\n* connect\n= to 1 a");
    let mut wire = begin(scene(routes()));
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake\ntls ok\nC> USER a\n* connect\n= to 0 a");
}

#[test]
fn a_route_asks_for_the_subject_of_the_certificate() {
    let routes = || vec![Route { certificates: globs(&["CN=acme"]), ..to("acme") }];
    let mut wire = begin(scene(routes()));
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake\ntls of CN=acme\nC> USER a\n* connect\n= to 1 a");
    let mut wire = begin(scene(routes()));
    wire.play("C> AUTH TLS\nC< 234 …\n* handshake\ntls of CN=eve\nC> USER a\n* connect\n= to 0 a");
}

#[test]
fn a_route_asks_for_listener_and_address() {
    let routes = |listener: &str, network: &str| {
        let from = vec![network.parse().unwrap()];
        vec![Route { listeners: vec![listener.into()], from, ..to("acme") }]
    };
    begin(scene(routes("ftps", "192.0.2.0/24"))).play("C> USER a\n* connect\n= to 1 a");
    begin(scene(routes("plain", "192.0.2.0/24"))).play("C> USER a\n* connect\n= to 0 a");
    begin(scene(routes("ftps", "203.0.113.0/24"))).play("C> USER a\n* connect\n= to 0 a");
}

#[test]
fn host_may_give_the_names_of_this_listeners_routes() {
    let elsewhere = Route { hosts: globs(&["plain.example"]), listeners: vec!["plain".into()], ..to("acme") };
    let here = Route { hosts: globs(&["acme.example", "*.acme.example"]), ..to("acme") };
    let mut wire = begin(scene(vec![elsewhere, here]));
    wire.play(
        "C> HOST plain.example
         C< 504 …
         C> HOST acme.exampl\\xff
         C< 504 …
         C> HOST Acme.example
         C< 220 …
         C> HOST a.b.acme.example
         C< 220 …
         C> USER anna
         * connect
         = to 1 anna",
    );
}

#[test]
fn a_host_that_was_refused_or_said_before_tls_does_not_count() {
    let routes = || vec![Route { hosts: globs(&["acme.example"]), ..to("acme") }];
    begin(scene(routes())).play("C> HOST x.example\nC< 504 …\nC> USER anna\n* connect\n= to 0 anna");
    let mut wire = begin(scene(routes()));
    wire.play(
        "C> HOST acme.example
         C< 220 …
         C> AUTH TLS
         C< 234 …
         * handshake
         tls ok
         C> USER anna
         * connect
         = to 0 anna",
    );
}

#[test]
fn a_route_gives_another_name_to_the_backend_alone() {
    let rewrite_user = Some("pool".to_owned());
    let mut wire = begin(scene(vec![Route { rewrite_user, ..to("acme") }]));
    wire.play(
        "C> USER anna
         * connect
         = to 1 pool
         B connected
         B< 220 x
         B> USER pool
         B< 331 x
         C< 331 x
         C> PASS hunter2
         B> PASS hunter2
         B< 530 no
         C< 530 no
         = login failed anna 530
         C> USER berta
         B> USER pool
         B< 230 x
         C< 230 x
         C> STAT
         C< 211-Status of this session: |  Connected from 192.0.2.7 |  logged in as berta | …",
    );
    assert_eq!(wire.session.user(), Some(&b"berta"[..]));
}

#[test]
fn another_user_of_another_backend_is_connected_anew() {
    let mut wire = begin(scene(vec![Route { users: globs(&["acme-*"]), ..to("acme") }]));
    wire.play(
        "C> USER anna
         * connect
         B connected
         B< 220 x
         B> USER anna
         B< 331 x
         C< 331 x
         C> PASS wrong
         B> PASS wrong
         B< 530 no
         C< 530 no
         C> USER acme-7
         * connect
         = to 1 acme-7
         B connected
         B< 220 y
         B> USER acme-7
         B< 331 y
         C< 331 y
         C> USER acme-8
         B> USER acme-8
         B< 331 y
         C< 331 y
         C> PASS hunter2
         B> PASS hunter2
         B< 230 y
         C< 230 y",
    );
}

#[test]
fn a_user_who_is_denied_leaves_the_connection_to_whom_it_serves() {
    let mut scene = scene(vec![
        Route { users: globs(&["acme-*"]), ..to("acme") },
        Route { users: globs(&["anna"]), ..to("globex") },
    ]);
    scene.settings.default_backend = None;
    let mut wire = begin(scene);
    wire.play("C> USER anna\n* connect\nB connected\nB< 220 x\nB> USER anna\nB< 331 x\nC< 331 x");
    wire.play("C> USER eve\nC< 530 …\nC> PASS hunter2\nC< 503 …");
    wire.play("C> USER anna\nB> USER anna\nB< 331 x\nC< 331 x");
    wire.play("C> USER acme-7\n* connect\n= to 1 acme-7");
}

#[test]
fn destinations_are_as_many_as_failed_logins() {
    let mut wire = begin(scene(vec![Route { users: globs(&["acme"]), ..to("acme") }]));
    for user in ["anna", "acme", "anna"] {
        let script = "C> USER u\n* connect\nB connected\nB< 220 x\nB> USER u\nB< 331 x\nC< 331 x";
        wire.play(&script.replace("USER u", &format!("USER {user}")));
    }
    wire.play("C> USER acme\nC< 421 …\n* close\n= closed login_attempts");
}

#[test]
fn a_name_with_an_at_is_a_name_where_no_server_may_be_asked_for() {
    begin(scene(Vec::new())).play("C> USER anna@example.org\n* connect\n= to 0 anna@example.org");
}

#[test]
fn an_allowed_server_is_asked_for() {
    for (entry, asked, server) in [
        (("ftp.example.org", None), "ftp.example.org", "ftp.example.org"),
        (("*.example.org", None), "FTP.Example.org:21", "ftp.example.org:21"),
        (("*.example.org", None), "a.b.example.org:990", "a.b.example.org:990"),
        (("ftp.example.org", Some(2121)), "ftp.example.org", "ftp.example.org:2121"),
        (("ftp.example.org", Some(2121)), "ftp.example.org:2121", "ftp.example.org:2121"),
        (("2001:db8::*", None), "[2001:DB8::1]:21", "2001:db8::1:21"),
    ] {
        let mut wire = begin(asking_for(&[("nothing.example", None), entry]));
        wire.play(&format!("C> USER anna@{asked}\n* connect\n= to 0 anna at {server}"));
        wire.play("B connected\nB< 220 x\nB> USER anna\nB< 331 x\nC< 331 x");
        assert_eq!(wire.session.user(), Some(&b"anna"[..]));
    }
}

#[test]
fn the_name_ends_at_the_last_at() {
    let mut wire = begin(asking_for(&[("ftp.example.org", None)]));
    wire.play("C> USER anna@corp@ftp.example.org\n* connect\n= to 0 anna@corp at ftp.example.org");
}

#[test]
fn a_server_that_is_not_allowed_is_not_contacted() {
    for asked in [
        "anna@elsewhere.example",
        "anna@ftp.example.org:22",
        "anna@ftp.example.org:2121",
        "anna@web.example.org:21",
        "anna@",
        "@ftp.example.org",
        "@",
        "anna@ftp.example.org:",
        "anna@ftp.example.org:99999",
        "anna@ftp.example.org@",
        "anna@[::1]",
        "anna@::1",
        "anna@0x7f.1",
        "anna@ftp.example.org\\xff",
    ] {
        let mut wire = begin(asking_for(&[("ftp.example.org", None), ("web.example.org", Some(8021))]));
        wire.play(&format!("C> USER {asked}\nC< 530 …\n= denied USER {asked} 530"));
        wire.play("C> PASS hunter2\nC< 503 …\nC> USER anna@ftp.example.org\n* connect");
    }
}

#[test]
fn the_server_asked_for_counts_as_the_host_for_routes() {
    let allowed = [("*.acme.example", None), ("ftp.example.org", None)];
    begin(asking_for(&allowed)).play("C> USER a@ftp.acme.example\n* connect\n= to 1 a at ftp.acme.example");
    let mut wire = begin(asking_for(&allowed));
    wire.play("C> HOST ftp.acme.example\nC< 220 …\nC> USER a@ftp.example.org\n* connect");
    wire.play("= to 0 a at ftp.example.org");
}

#[test]
fn names_without_a_server_are_routed_as_ever() {
    let mut wire = begin(asking_for(&[("*.example.org", None)]));
    wire.play(
        "C> USER anna\n* connect\n= to 0 anna\nB connected\nB< 220 x\nB> USER anna\nB< 530 x\nC< 530 x",
    );
    wire.play("C> USER anna@a.example.org\n* connect\n= to 0 anna at a.example.org");
    wire.play("B connected\nB< 220 x\nB> USER anna\nB< 530 x\nC< 530 x");
    wire.play("C> USER berta@a.example.org\nB> USER berta");
}
