//! What is wrong or doubtful about routes, and about who may ask for which host.

use super::*;

/// Two backends, and two listeners of which only `other` has a default; then these lines, from line 13 on.
fn routes(lines: &str) -> String {
    format!(
        "[[backend]]\nname = 'one'\nservers = ['a']\n[[backend]]\nname = 'two'\nservers = ['b']\n\
         [[listener]]\nname = 'ftps'\n[[listener]]\nname = 'other'\nmode = 'implicit'\nbackend = 'one'\n{lines}\n"
    )
}

const FOR_ALL: &str = "[[route]]\nbackend = 'two'";

#[test]
fn routes_name_listeners_and_backends_that_exist() {
    right(&routes(&format!("{FOR_ALL}\nlisteners = ['other', 'ftps']")));
    only_error(
        &routes("[[route]]\nbackend = 'tow'"),
        "14:11: there is no backend `tow`",
        "did you mean `two`?",
    );
    only_error(
        &routes("[[route]]\nbackend = 'partners'"),
        "14:11: there is no backend `partners`",
        "backends of this file: one, two",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\n[[route]]\nbackend = 'two'\nlisteners = ['otter']")),
        "17:14: there is no listener `otter`",
        "did you mean `other`?",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\n[[route]]\nbackend = 'two'\nlisteners = ['x-y-z']")),
        "17:14: there is no listener `x-y-z`",
        "listeners of this file: ftps, other",
    );
    only_error(
        &routes("[[route]]\nusers = ['a']"),
        "13:1: this [[route]] has no `backend`, and there are several",
        "`backend = \"one\"`",
    );
}

#[test]
fn sessions_of_every_listener_can_go_somewhere() {
    only_error(
        &routes(""),
        "7:1: this [[listener]] has no `backend`, and there are several",
        "`backend = \"one\"`",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\nlisteners = ['other']")),
        "7:1: this [[listener]] has no `backend`, and no [[route]] takes its sessions",
        "`backend = \"one\"`",
    );
    right(&routes(&format!("{FOR_ALL}\nlisteners = ['ftps']")));
    right(&routes(&format!("{FOR_ALL}\nusers = ['acme-*']")));
}

#[test]
fn a_backend_may_be_led_to_by_a_route_alone() {
    assert_eq!(doubtful(&routes(&format!("{FOR_ALL}\nusers = ['acme-*']"))), [""; 0]);
    only_warning(
        &routes("[[route]]\nbackend = 'one'\nusers = ['acme-*']"),
        "5:8: nothing leads to the backend `two`",
        "`backend` of a [[listener]] or a [[route]]",
    );
}

#[test]
fn matchers_are_patterns_and_not_empty() {
    for name in ["users", "sni", "hosts", "from", "certificates", "listeners"] {
        only_error(
            &routes(&format!("{FOR_ALL}\n{name} = []")),
            &format!("15:{}: `{name}` is empty", name.len() + 4),
            "leave the key out: then anything does",
        );
    }
    for name in ["users", "sni", "hosts", "certificates"] {
        let text = routes(&format!("{FOR_ALL}\n{name} = ['a[']"));
        let diagnostics = read(&text).unwrap_err();
        let [only] = diagnostics.errors() else { panic!("{diagnostics}") };
        let message = format!("15:{}: `{name}`: `a[` is not a pattern", name.len() + 5);
        assert!(brief(only).starts_with(&message), "{diagnostics}");
        assert!(only.hint().contains("`[ab]` one of these"), "{diagnostics}");
    }
    only_error(
        &routes(&format!("{FOR_ALL}\nusers = ['']")),
        "15:10: `users`: `` is not a pattern: an empty pattern matches nothing",
        "`*` is any text",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\nusers = ['{}']", "x".repeat(401))),
        "15:10: `users`: the pattern is too long",
        "up to 400 bytes",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\nusers = [\"a\\u0000\"]")),
        "15:10: `users`: the pattern contains the control character '\\0'",
        "no name",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\nfrom = ['acme']")),
        "15:9: `from`: `acme` is not a network",
        "\"10.0.0.0/8\"",
    );
    only_error(
        &routes(&format!("{FOR_ALL}\nrewrite_user = ''")),
        "15:16: `rewrite_user`: a user name cannot be empty",
        "the name that the server knows",
    );
}

#[test]
fn case_counts_in_users_and_not_in_hosts() {
    let text = routes(&format!(
        "{FOR_ALL}\nusers = ['Acme']\nsni = ['Acme']\nhosts = ['Acme']\ncertificates = ['Acme']\n[tls.default]\nclient_certificates = 'request'\nclient_ca = 'ca'"
    ));
    let route = &right(&text).config.routes[0];
    let matches =
        [&route.users, &route.sni, &route.hosts, &route.certificates].map(|globs| globs[0].matches(b"aCME"));
    assert_eq!(matches, [false, true, true, false]);
}

#[test]
fn a_route_behind_a_wider_one_is_doubtful() {
    for (earlier, later, shadowed) in [
        ("", "", true),
        ("", "users = ['a']", true),
        ("listeners = ['ftps', 'other']", "listeners = ['other']", true),
        ("users = ['acme-*', 'b']", "users = ['acme-7', 'b']\nfrom = ['10.0.0.0/8']", true),
        ("from = ['10.0.0.0/8']", "from = ['10.1.0.0/16', '10.2.3.4']", true),
        ("hosts = ['*.EXAMPLE.com']", "hosts = ['ftp.example.com']", true),
        ("users = ['a']", "", false),
        ("users = ['a']", "users = ['a', 'b']", false),
        ("users = ['a?']", "users = ['a*']", false),
        ("users = ['a']\nhosts = ['x']", "users = ['a']", false),
        ("from = ['10.0.0.0/8']", "from = ['::/0']", false),
    ] {
        let text = routes(&format!("[[route]]\nbackend = 'one'\n{earlier}\n{FOR_ALL}\n{later}"));
        let line = 15 + earlier.lines().count().max(1);
        if shadowed {
            only_warning(
                &text,
                &format!("{line}:1: no session comes to this [[route]]: an earlier one takes them all"),
                "put the narrower route first",
            );
        } else {
            // Not every one of these leaves nothing else to say.
            let found =
                read(&text).map_or_else(|error| error.to_string(), |loaded| format!("{:?}", loaded.warnings));
            assert!(!found.contains("no session comes"), "{earlier} {later}: {found}");
        }
    }
}

#[test]
fn long_lists_of_many_routes_are_compared_in_time() {
    let users: String = (0..20).map(|number| format!("'u{number}',")).collect();
    let route = |number: usize| format!("{FOR_ALL}\nusers = [{users}'v{number}']\n");
    let text: String = (0..200).map(route).collect();
    assert_eq!(doubtful(&routes(&text)), [""; 0]);
}

#[test]
fn what_no_client_shows_never_matches() {
    only_warning(
        &routes(&format!("{FOR_ALL}\ncertificates = ['CN=acme-*']")),
        "15:16: this route never matches: no listener asks clients for certificates",
        "write `client_certificates = \"request\"`",
    );
    let asked = "[tls.default]\nclient_certificates = 'request'\nclient_ca = 'ca'";
    assert_eq!(doubtful(&routes(&format!("{FOR_ALL}\ncertificates = ['CN=acme-*']\n{asked}"))), [""; 0]);
    let plain = routes(&format!("{FOR_ALL}\nsni = ['a.example']\nlisteners = ['ftps']"));
    assert_eq!(doubtful(&plain), [""; 0]);
    only_warning(
        &plain.replace("name = 'ftps'", "name = 'ftps'\nmode = 'plain'"),
        "16:7: this route never matches: plain listeners know no SNI",
        "`hosts`",
    );
}

#[test]
fn who_asks_for_a_host_is_told_which() {
    let listener =
        |value: &str| format!("[[listener]]\nuser_at_host = {value}\n[[backend]]\nservers = ['10.2.0.11']\n");
    for pattern in ["*", "**", "*.*", "{*,a}"] {
        only_warning(
            &listener(&format!("['a', '{pattern}']")),
            "2:22: clients may have the gateway connect to any host, inside and outside: an open relay",
            "\"*.example.com\"",
        );
    }
    assert_eq!(doubtful(&listener("['*.example.com', '10.*']")), [""; 0]);
    only_error(
        &listener("'on'"),
        "2:16: `user_at_host`: must be \"off\" or an array; each element a host such as \"ftp.example.com\", not text",
        "write it in brackets, [\"on\"]",
    );
    for (host, message, hint) in [
        ("a/b", "`a/b` is not a host: no name has the character '/'", "\"host:2121\""),
        ("a@b", "`a@b` is not a host: no name has the character '@'", "\"host:2121\""),
        ("a:0", "`0` is not a port", "1 to 65535"),
        ("[::1]x", "`[::1]x` is not a host", "[2001:db8::1]:21"),
        ("0.0.0.0", "nothing can connect to 0.0.0.0", "the address that the server listens on"),
        ("1.2.3", "`1.2.3` is neither an address nor a host name", "\"ftp.example.com\""),
        ("a[", "`a[` is not a pattern: unclosed character class; missing ']'", "`[ab]` one of these"),
    ] {
        only_error(&listener(&format!("['{host}']")), &format!("2:17: `user_at_host`: {message}"), hint);
    }
}
