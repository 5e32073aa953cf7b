//! What is wrong or doubtful about backends, and about what listeners say of active mode and PROXY headers.

use super::*;

const PIN: &str = "tls_pin = ['sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']";

/// A file with these lines in its only backend, from line 4 on.
fn backend(lines: &str) -> String {
    format!("[[listener]]\n[[backend]]\nservers = ['10.2.0.11']\n{lines}\n")
}

/// A file with these servers, in line 3.
fn servers(list: &str) -> String {
    format!("[[listener]]\n[[backend]]\nservers = [{list}]\n")
}

/// A file with these lines in its only listener, from line 2 on.
fn listener(lines: &str) -> String {
    format!("[[listener]]\n{lines}\n[[backend]]\nservers = ['10.2.0.11']\n")
}

#[test]
fn keys_of_tls_do_nothing_without_tls() {
    for line in [
        "data_tls = 'clear'",
        "tls_ca = 'a.pem'",
        PIN,
        "tls_server_name = 'a.example'",
        "tls_min_version = '1.2'",
        "tls_max_version = '1.3'",
        "danger_accept_invalid_certificates = true",
        "tls_client_certificate = { chain = 'a', key = 'b' }",
        "require_ems = true",
    ] {
        let (name, _) = line.split_once(" = ").unwrap();
        let wanted = format!("4:{}: `{name}` has no effect while `tls` is \"off\"", name.len() + 4);
        only_warning(&backend(line), &wanted, "write `tls = \"explicit\"`");
        assert_eq!(right(&backend(line)).config, right(&backend("")).config, "{line}");
    }
    only_error(
        &backend(&format!("tls = 'on'\n{PIN}")),
        "4:7: `tls`: must be \"off\", \"explicit\" or \"implicit\", not \"on\"",
        "\"explicit\"",
    );
}

#[test]
fn backend_versions_are_in_order() {
    right(&backend("tls = 'explicit'\ntls_min_version = '1.3'\ntls_max_version = '1.3'"));
    only_error(
        &backend("tls = 'explicit'\ntls_min_version = '1.3'"),
        "5:19: `tls_min_version` is above `tls_max_version`",
        "add `tls_max_version = \"1.3\"`",
    );
    only_error(
        &backend("tls = 'explicit'\ntls_min_version = '1.3'\ntls_max_version = '1.2'"),
        "5:19: `tls_min_version` is above `tls_max_version`",
        "raise `tls_max_version`",
    );
}

#[test]
fn pins_are_digests() {
    let pin = |pins: &str| backend(&format!("tls = 'explicit'\ntls_pin = {pins}"));
    only_error(&pin("[]"), "5:11: `tls_pin` is empty", "leave the key out");
    for text in ["sha1/x", "sha256/é", "sha256/AAAA", "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV="]
    {
        only_error(
            &pin(&format!("['{text}']")),
            &format!(
                "5:12: `tls_pin`: `{text}` is not a pin: it is `sha256/` and the 44 characters of Base64 that name a key"
            ),
            "openssl x509 -in server.pem -noout -pubkey",
        );
    }
    only_error(
        &pin("'sha256/AAAA'"),
        "5:11: `tls_pin`: must be an array; each element a pin such as \
         \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\", not text",
        "write it in brackets",
    );
}

#[test]
fn names_and_files_of_backends_are_read() {
    only_error(
        &backend("tls = 'explicit'\ntls_server_name = 'a b'"),
        "5:19: `tls_server_name`: `a b` is neither an address nor a host name",
        "\"ftp.example.com\"",
    );
    only_error(
        &backend("tls = 'explicit'\ntls_ca = ''"),
        "5:10: `tls_ca`: is not a path",
        "relative to this one",
    );
    only_error(
        &backend("tls = 'explicit'\ntls_client_certificate = { chain = 'a' }"),
        "5:26: `tls_client_certificate` of [[backend]] has no `key`",
        "add `key`",
    );
    only_error(
        &backend("tls = 'explicit'\ntls_client_certificate = 'a.pem'"),
        "5:26: `tls_client_certificate`: must be a table [[backend]] tls_client_certificate, not text",
        "Shown to servers",
    );
    let text = backend("tls = 'explicit'\ntls_client_certificate = { chain = 'a', key = '/b' }");
    let tls = right(&text).config.backends[0].tls.clone().unwrap();
    assert_eq!(tls.client_certificate.unwrap().chain, Path::new("/etc/ftpsgate/a"));
    let at =
        right(&text).diagnostic(Severity::Error, "backend[0].tls_client_certificate", "m", "h").position();
    assert_eq!(at, Some((5, 26)));
}

#[test]
fn any_certificate_is_a_danger() {
    let danger = "tls = 'explicit'\ndanger_accept_invalid_certificates = true";
    only_warning(
        &backend(danger),
        "5:38: any certificate is taken: whoever sits between the gateway and its servers can read and change \
         everything",
        "pin the servers' keys with `tls_pin`",
    );
    only_warning(
        &backend(&format!("{danger}\n{PIN}")),
        "5:38: `danger_accept_invalid_certificates` does nothing beside `tls_pin`: the pins hold all the same",
        "remove it",
    );
    let text = backend(&format!("{danger}\ntls_ca = 'a'"));
    assert_eq!(
        doubtful(&text)[1..],
        ["6:10: `tls_ca` has no effect beside `danger_accept_invalid_certificates`"]
    );
    assert_eq!(right(&text).warnings[1].hint(), "remove `danger_accept_invalid_certificates`");
}

#[test]
fn servers_are_different_ones() {
    only_error(&servers("'a', 'b', 'A:21'"), "3:22: A:21 is named twice", "weight = 2");
    right(&servers("'a', 'a:2121'"));
    only_warning(
        &servers("{ address = 'a', backup = true }, { address = 'b', backup = true }"),
        "3:11: every server of this backend is a backup",
        "remove `backup`",
    );
    assert_eq!(doubtful(&servers("'a', { address = 'b', backup = true }")), [""; 0]);
    let many: String = (0..1001).map(|number| format!("'s{number}',")).collect();
    only_error(&servers(&many), "3:6902: more than 1000 servers", "several backends");
}

#[test]
fn weights_are_within_bounds() {
    for weight in [1, 256] {
        right(&servers(&format!("{{ address = 'a', weight = {weight} }}")));
    }
    for (weight, hint) in [("0", "the smallest value is 1"), ("257", "the largest value is 256")] {
        only_error(
            &servers(&format!("{{ address = 'a', weight = {weight} }}")),
            &format!("3:38: `weight`: must be a whole number from 1 to 256, not {weight}"),
            hint,
        );
    }
    only_warning(
        &format!("{}balance = 'first'\n", servers("'a', { address = 'b', weight = 2 }")),
        "3:43: `weight` has no effect with `balance = \"first\"`",
        "remove it",
    );
}

#[test]
fn no_server_of_several_is_the_gateway_itself() {
    only_error(
        "[[listener]]\nmode = 'implicit'\n[[backend]]\ntls = 'implicit'\nservers = ['a', 'localhost']\n",
        "5:17: localhost:990 is the gateway itself",
        "sessions would go round in a circle",
    );
    only_error(
        &listener("bind = ['127.0.0.1:2121']\nuser_at_host = ['a', '127.0.0.1:2121']"),
        "3:22: 127.0.0.1:2121 is the gateway itself",
        "sessions would go round in a circle",
    );
}

#[test]
fn checks_say_who_logs_in() {
    for kind in ["login", "data"] {
        assert_eq!(
            wrong(&backend(&format!("check = {{ kind = '{kind}' }}"))),
            [
                format!("4:18: a `{kind}` check needs `user`"),
                format!("4:18: a `{kind}` check needs `password_file`"),
            ]
        );
        only_error(
            &backend(&format!("check = {{ kind = '{kind}', user = 'm' }}")),
            &format!("4:18: a `{kind}` check needs `password_file`"),
            "password_file = \"monitor.pw\"",
        );
        assert_eq!(wrong(&backend(&format!("check = '{kind}'"))).len(), 2);
    }
    for (line, column) in [("user = 'm'", 32), ("password_file = 'p'", 41), ("path = '/'", 32)] {
        let (name, _) = line.split_once(' ').unwrap();
        only_warning(
            &backend(&format!("check = {{ kind = 'tcp', {line} }}")),
            &format!("4:{column}: `{name}` has no effect in a `tcp` check"),
            "write `kind = \"login\"` or \"data\"",
        );
    }
}

#[test]
fn checks_can_be_done() {
    only_error(&backend("check = 'tls'"), "4:9: a `tls` check needs TLS", "`tls = \"explicit\"`");
    only_error(
        &backend("tls = 'off'\ncheck = { kind = 'tls' }"),
        "5:18: a `tls` check needs TLS",
        "`kind = \"greeting\"`",
    );
    right(&backend("tls = 'implicit'\ncheck = 'tls'"));
    only_error(
        &backend("check = 'none'"),
        "4:9: `check`: must be \"off\", \"tcp\", \"greeting\", \"tls\", \"login\", \"data\" or a table, not \"none\"",
        "write \"off\"",
    );
    only_error(
        &backend("check = 5"),
        "4:9: `check`: must be \"off\", \"tcp\", \"greeting\", \"tls\", \"login\", \"data\" or a table, not a whole number",
        "without this key",
    );
    only_error(&backend("check = { every = '0s' }"), "4:19: `every`: cannot be zero", "at once");
    only_error(
        &backend("check = { fall = 0 }"),
        "4:18: `fall`: must be a whole number from 1 to 1000, not 0",
        "the smallest value is 1",
    );
    only_error(
        &backend("check = { evry = '1s' }"),
        "4:11: unknown key `evry` in `check` of [[backend]]",
        "did you mean `every`?",
    );
}

#[test]
fn credentials_of_checks_are_names_and_texts() {
    let check = |line: &str| backend(&format!("[backend.check]\nkind = 'data'\n{line}"));
    for (line, message) in [
        ("user = ''\npassword_file = 'p'", "6:8: `user`: a user name cannot be empty"),
        (
            "user = \"a\\r\\nQUIT\"\npassword_file = 'p'",
            "6:8: `user`: the text contains the control character '\\r'",
        ),
        ("user = 'm'\npassword_file = ''", "7:17: `password_file`: is not a path"),
        (
            "user = 'm'\npassword_file = '$CREDENTIALS_DIRECTORY/../x'",
            "7:17: `password_file`: is not the name of a credential",
        ),
        (
            "user = 'm'\npassword_file = '$CREDENTIALS_DIRECTORY/'",
            "7:17: `password_file`: is not the name of a credential",
        ),
        ("user = 'm'\npassword_file = 'p'\npath = ''", "8:8: `path`: a directory cannot be empty"),
    ] {
        only_error(&check(line), message, "");
    }
}

#[test]
fn ports_of_active_backends_belong_to_nobody_else() {
    let text = |listener: &str, backend: &str| {
        format!("[[listener]]\n{listener}\n[[backend]]\nservers = ['a']\ndata = 'active'\n{backend}\n")
    };
    only_error(
        &text("bind = ['10.0.0.1:62005']", ""),
        "3:1: active port 62005 is where listener `ftps` listens",
        "without `active_ports` this backend takes 62000-62009",
    );
    only_error(
        &text("bind = ['10.0.0.1:62005']", "active_ports = '62001-62005'"),
        "6:16: active port 62005 is where listener `ftps` listens",
        "take other ports",
    );
    only_error(
        &text("", "active_ports = '61009-61020'"),
        "6:16: active port 61009 is a passive port of listener `ftps`",
        "take other ports",
    );
    only_error(
        &text("passive.ports = '61000-62000'", ""),
        "3:1: active port 62000 is a passive port of listener `ftps`",
        "add others",
    );
    right(&text("passive.ports = '62000-62009'", "active_ports = 'auto:3'"));
    only_warning(&text("", "active_ports = '1000-1001'"), "6:16: active ports below 1024", "above 62000");
    only_warning(
        &text("", "active_ports = '60999-60999'"),
        "6:16: active ports among 32768-60999",
        "above 62000",
    );
}

#[test]
fn keys_of_active_backends_do_nothing_in_passive_mode() {
    only_warning(
        &backend("active_ports = '62000-62001'"),
        "4:16: `active_ports` has no effect while `data` is \"passive\"",
        "write `data = \"active\"`",
    );
    only_warning(
        &backend("data = 'active'\nproxy_protocol = 'v2+data'"),
        "5:18: no PROXY header comes with data connections that servers open",
        "write `proxy_protocol = \"v2\"`",
    );
}

#[test]
fn the_source_has_the_family_of_the_servers() {
    for source in ["auto", "10.2.0.1"] {
        right(&backend(&format!("source = '{source}'")));
    }
    only_error(
        &backend("source = '2001:db8::1'"),
        "4:10: 10.2.0.11:21 cannot be reached from 2001:db8::1",
        "address family",
    );
    for source in ["0.0.0.0", "gw1", "224.0.0.1"] {
        only_error(
            &backend(&format!("source = '{source}'")),
            &format!("4:10: `source`: `{source}` is not an address of this machine"),
            "or \"auto\"",
        );
    }
    only_error(
        &backend("source = 'client'"),
        "4:10: `source`: \"client\" is not available in this version",
        "`proxy_protocol`",
    );
}

#[test]
fn source_ports_are_where_nobody_listens() {
    right(&listener("active_source_port = 20"));
    only_error(
        &listener("active_source_port = 21"),
        "2:22: `active_source_port` 21 is where listener `ftps` listens",
        "20 is the customary port",
    );
    only_error(
        &listener("active_source_port = 61005"),
        "2:22: `active_source_port` 61005 is a passive port of listener `ftps`",
        "0 lets the kernel choose",
    );
    only_error(
        &listener("active_source_port = 65536"),
        "2:22: `active_source_port`: must be a whole number from 0 to 65535, not 65536",
        "the largest value is 65535",
    );
    only_warning(
        &listener("active = 'off'\nactive_source_port = 20"),
        "3:22: `active_source_port` has no effect while `active` is \"off\"",
        "`active = \"on\"`",
    );
}

#[test]
fn proxy_headers_come_from_somebody() {
    right(&listener("proxy_protocol_from = ['10.0.0.0/8']\npassive.proxy_protocol = true"));
    only_error(
        &listener("passive.proxy_protocol = true"),
        "2:26: `passive.proxy_protocol` needs `proxy_protocol_from`",
        "proxy_protocol_from = [\"10.0.0.0/8\"]",
    );
    only_error(
        &listener("proxy_protocol_from = []\npassive.proxy_protocol = true"),
        "3:26: `passive.proxy_protocol` needs `proxy_protocol_from`",
        "say who may send PROXY headers",
    );
    only_warning(
        &listener("proxy_protocol_from = ['::/0']"),
        "2:24: with ::/0 anybody may claim to be any client",
        "load balancers alone",
    );
    only_error(
        &listener("proxy_protocol_from = ['10.0.0.1/8']"),
        "2:24: `proxy_protocol_from`: `10.0.0.1/8` has bits behind its prefix",
        "did you mean \"10.0.0.0/8\"",
    );
}

#[test]
fn listeners_behind_different_balancers_do_not_share_ports() {
    let text = |second: &str| {
        format!(
            "[[listener]]\nproxy_protocol_from = ['10.0.0.1']\npassive.proxy_protocol = true\n[[listener]]\n\
             name = 'b'\nmode = 'implicit'\n{second}\n[[backend]]\nservers = ['a']\n"
        )
    };
    let message = "come to passive port 61000, too, through other balancers";
    for (second, line) in [
        ("", 4),
        ("proxy_protocol_from = ['10.0.0.1']", 4),
        ("proxy_protocol_from = ['10.0.0.2']\npassive.proxy_protocol = true", 8),
    ] {
        only_warning(
            &text(second),
            &format!("{line}:1: data connections of listener `ftps` {message}"),
            "passive ports of their own",
        );
    }
    for second in [
        "proxy_protocol_from = ['10.0.0.1']\npassive.proxy_protocol = true",
        "passive.ports = '61010-61019'",
        "passive.ports = 'auto:3'",
    ] {
        assert_eq!(doubtful(&text(second)), [""; 0]);
    }
}
