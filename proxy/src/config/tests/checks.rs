//! What must hold between keys: each rule kept, and broken.

use super::*;

const LISTENER: &str = "[[listener]]\n";
const BACKEND: &str = "[[backend]]\nservers = ['10.2.0.11']\n";

/// A file with these lines in its only listener.
fn listener(lines: &str) -> String {
    format!("{BACKEND}{LISTENER}{lines}\n")
}

/// A file with these lines in its default profile.
fn profile(lines: &str) -> String {
    format!("{BACKEND}{LISTENER}[tls.default]\n{lines}\n")
}

#[test]
fn a_file_needs_a_listener_and_a_backend() {
    assert_eq!(wrong(""), ["1:1: there is no [[listener]] and no [[backend]]"]);
    assert_eq!(wrong(LISTENER), ["1:13: there is no [[backend]]"]);
    assert_eq!(wrong(BACKEND), ["2:24: there is no [[listener]]"]);
    assert!(read("").unwrap_err().errors()[0].hint().contains(MINIMAL.trim_end()));
}

#[test]
fn names_are_unique() {
    let text = format!(
        "{BACKEND}name = 'a'\n{BACKEND}name = 'a'\n{LISTENER}backend = 'a'\n{LISTENER}backend = 'a'\nbind = ['[::1]:1']\n"
    );
    assert_eq!(wrong(&text), ["6:8: two backends are called `a`", "9:1: two listeners are called `ftps`"]);
}

#[test]
fn a_listener_names_a_profile_and_a_backend_that_exist() {
    let text = format!("{}backend = 'legcy'\n[tls.partners]\n", listener("tls = 'partner'"));
    assert_eq!(wrong(&text), ["4:7: there is no TLS profile `partner`", "5:11: there is no backend `legcy`"]);
    let hints: Vec<_> =
        read(&text).unwrap_err().errors().iter().map(|error| error.hint().to_owned()).collect();
    assert_eq!(hints, ["did you mean `partners`?", "did you mean `legacy`?"]);
    right(&format!("{}[tls.partners]\n", listener("tls = 'partners'")));
}

#[test]
fn the_backend_must_be_named_where_there_are_several() {
    let text = format!("{BACKEND}{BACKEND}name = 'b'\n{LISTENER}");
    assert_eq!(wrong(&text), ["6:1: this [[listener]] has no `backend`, and there are several"]);
    let loaded = right(&format!("{text}backend = 'b'\n"));
    assert_eq!(loaded.config.listeners[0].backend.as_deref(), Some("b"));
    assert_eq!(brief(&loaded.warnings[0]), "1:1: nothing leads to the backend `legacy`");
}

#[test]
fn a_wrong_name_of_a_backend_is_not_reported_twice() {
    let text = format!("{BACKEND}name = 1\n{LISTENER}backend = 'a'\n");
    assert_eq!(wrong(&text), ["3:8: `name`: must be text in quotes, not a whole number"]);
}

#[test]
fn a_profile_that_nobody_uses_is_doubtful() {
    assert_eq!(doubtful(&format!("{MINIMAL}[tls.a]\n")), ["8:6: no listener uses the TLS profile `a`"]);
    assert_eq!(doubtful(&format!("{MINIMAL}[tls.default]\n")), [""; 0]);
}

#[test]
fn a_plain_listener_requires_no_tls() {
    right(&listener("mode = 'plain'\nrequire_tls = 'no'"));
    for value in ["data", "login"] {
        let text = listener(&format!("mode = 'plain'\nrequire_tls = '{value}'"));
        assert_eq!(wrong(&text), ["5:15: a plain listener cannot require TLS"]);
    }
    assert_eq!(
        doubtful(&listener("mode = 'plain'\ntls = 'default'")),
        ["5:7: `tls` has no effect on a plain listener"]
    );
}

#[test]
fn versions_are_in_order() {
    right(&profile("min_version = '1.3'"));
    right(&profile("max_version = '1.2'"));
    assert_eq!(
        wrong(&profile("min_version = '1.3'\nmax_version = '1.2'")),
        ["5:15: `min_version` is above `max_version`"]
    );
    assert_eq!(
        wrong(&profile("min_version = 1.2")),
        ["5:15: `min_version`: must be \"1.2\" or \"1.3\", not a decimal number"]
    );
}

#[test]
fn client_certificates_need_their_authority() {
    for value in ["request", "require"] {
        right(&profile(&format!("client_certificates = '{value}'\nclient_ca = 'a'\nclient_crl = 'b'")));
        assert_eq!(
            wrong(&profile(&format!("client_certificates = '{value}'\nclient_crl = 'b'"))),
            ["5:23: `client_certificates` needs `client_ca`", "6:14: `client_crl` needs `client_ca`"]
        );
    }
    assert_eq!(
        doubtful(&profile("client_ca = 'a'")),
        ["5:13: `client_ca` has no effect while `client_certificates` is \"off\""]
    );
}

#[test]
fn a_profile_has_something_to_present() {
    assert_eq!(wrong(&profile("fallback = 'none'")), ["5:12: [tls.default] has no certificate to present"]);
    assert_eq!(wrong(&profile("certificates = []")), ["5:16: `certificates` is empty"]);
    assert_eq!(
        wrong(&profile("certificates = [{ chain = 'a' }, 'b', { chian = 'a', key = 'b', chain = 'a' }]")),
        [
            "5:17: `certificates` of [tls.default] has no `key`",
            "5:34: `certificates`: must be a table [tls.NAME] certificates, not text",
            "5:41: unknown key `chian` in `certificates` of [tls.default]",
        ]
    );
}

#[test]
fn listeners_do_not_collide() {
    for (first, second, taken) in [
        ("0.0.0.0:21", "0.0.0.0:21", true),
        ("0.0.0.0:21", "10.0.0.1:21", true),
        ("[::1]:21", "[::]:21", true),
        ("10.0.0.1:21", "10.0.0.2:21", false),
        ("0.0.0.0:21", "[::]:21", false),
        ("0.0.0.0:21", "0.0.0.0:2121", false),
        ("0.0.0.0:0", "0.0.0.0:0", false),
    ] {
        let text = format!(
            "{}name = 'b'\nbind = ['{second}']\n",
            listener(&format!("bind = ['{first}']\n{LISTENER}"))
        );
        match read(&text) {
            Ok(_) => assert!(!taken, "{first} {second}"),
            Err(diagnostics) => {
                assert!(taken, "{diagnostics}");
                let message = format!("{second} is taken by {first} of listener `ftps`");
                assert_eq!(diagnostics.errors()[0].message(), message);
            }
        }
    }
    assert_eq!(
        wrong(&listener("name = 'a'\n[[listener]]\nname = 'b'")),
        ["5:1: 0.0.0.0:21 is taken by 0.0.0.0:21 of listener `a`"]
    );
    assert_eq!(
        wrong(&listener("bind = ['[::1]:5', '[::1]:5']")),
        ["4:20: [::1]:5 is taken by [::1]:5 of listener `ftps`"]
    );
    right(&listener("name = 'a'\n[[listener]]\nname = 'b'\nmode = 'implicit'"));
}

#[test]
fn passive_ports_are_not_where_listeners_listen() {
    assert_eq!(
        wrong(&listener("bind = ['[::1]:61005']\npassive.ports = '61000-61009'")),
        ["5:17: passive port 61005 is where listener `ftps` listens"]
    );
}

#[test]
fn passive_ports_of_other_services_are_doubtful() {
    assert_eq!(doubtful(&listener("passive.ports = '61000-65535'")), [""; 0]);
    assert_eq!(doubtful(&listener("passive.ports = '1000-2000'")), ["4:17: passive ports below 1024"]);
    for range in ["30000-32768", "60999-61010", "40000-40010"] {
        let text = listener(&format!("passive.ports = '{range}'"));
        assert_eq!(doubtful(&text), ["4:17: passive ports among 32768-60999"]);
    }
}

#[test]
fn no_backend_is_the_gateway_itself() {
    for (bind, server, looped) in [
        ("127.0.0.1:2121", "127.0.0.1:2121", true),
        ("0.0.0.0:2121", "127.0.0.1:2121", true),
        ("0.0.0.0:2121", "127.0.0.2:2121", true),
        ("0.0.0.0:2121", "LOCALHOST:2121", true),
        ("[::]:2121", "[::1]:2121", true),
        ("0.0.0.0:2121", "[::ffff:127.0.0.1]:2121", true),
        ("10.0.0.1:2121", "localhost:2121", false),
        ("[::]:2121", "127.0.0.1:2121", false),
        ("0.0.0.0:2121", "10.0.0.1:2121", false),
        ("127.0.0.1:2121", "127.0.0.1:21", false),
    ] {
        let text = format!("[[listener]]\nbind = ['{bind}']\n[[backend]]\nservers = ['{server}']\n");
        assert_eq!(read(&text).is_err(), looped, "{bind} {server}");
    }
    assert_eq!(
        wrong("[[listener]]\n[[backend]]\nservers = ['localhost']\n"),
        ["3:12: localhost:21 is the gateway itself"]
    );
}

#[test]
fn numbers_are_within_bounds() {
    right(&listener("max_line = '512B'\nlogin_attempts = 0x10\nmax_sessions = 1_000"));
    right(&listener("max_line = '64KiB'\nlogin_timeout = '1ms'"));
    assert_eq!(
        wrong(&listener(
            "max_line = '511B'\nlogin_attempts = 0\nmax_sessions = -1\nidle_timeout = '0s'\nmin_rate = '-1B/s'"
        )),
        [
            "4:12: `max_line`: 511B is out of bounds",
            "5:18: `login_attempts`: must be a whole number from 1 to 1000, not 0",
            "6:16: `max_sessions`: must be a whole number from 1 to 1000000, not -1",
            "7:16: `idle_timeout`: cannot be zero",
            "8:12: `min_rate`: a rate cannot be negative",
        ]
    );
    assert_eq!(
        wrong(&listener("max_line = '65537B'\nmax_sessions = 99999999999999999999")),
        [
            "4:12: `max_line`: 65537B is out of bounds",
            "5:16: `max_sessions`: must be a whole number from 1 to 1000000, not 99999999999999999999",
        ]
    );
    right(&format!("{MINIMAL}[gateway]\ndrain_timeout = '0s'\n"));
}

#[test]
fn what_is_advertised_can_be_dialled() {
    let text = listener("passive.advertise_for = [{ from = '10.0.0.0/8', address = '10.1.1.1' }]");
    assert_eq!(right(&text).config.listeners[0].passive.advertise_for[0].from.to_string(), "10.0.0.0/8");
    assert_eq!(
        wrong(&listener(
            "passive.advertise = '0.0.0.0'\npassive.advertise_for = [{ from = '10.0.0.0/8', address = '::' }, \
             { from = '10.0.0.0/9', address = 'ftp.example' }, { address = '10.0.0.1' }]"
        )),
        [
            "4:21: `advertise`: clients cannot connect to 0.0.0.0",
            "5:59: `address`: clients cannot connect to ::",
            "5:100: `address`: `ftp.example` is not an address",
            "5:117: `advertise_for` of [listener.passive] has no `from`",
        ]
    );
    assert_eq!(
        wrong(&listener(
            "passive.advertise_for = [{ from = '::/0', address = '10.0.0.1' }, { from = '::/0', address = '10.0.0.2' }]"
        )),
        ["4:76: two addresses are advertised for ::/0"]
    );
    assert_eq!(
        doubtful(&listener("passive.advertise = '2001:db8::1'")),
        ["4:21: no client will ever be told 2001:db8::1"]
    );
}

#[test]
fn empty_lists_are_refused() {
    assert_eq!(wrong(&listener("bind = []")), ["4:8: `bind` is empty"]);
    assert_eq!(wrong("[[listener]]\n[[backend]]\nservers = []\n"), ["3:11: `servers` is empty"]);
    assert_eq!(wrong("[[listener]]\n[[backend]]\n"), ["2:1: this [[backend]] has no `servers`"]);
}
