//! What is wrong or doubtful about limits.

use std::time::Duration;

use ftpsgate_policies::limit::Scope;

use super::*;

/// A listener `ftps`, a backend `one`, and these lines from line 5 on.
fn limits(lines: &str) -> String {
    format!("[[listener]]\nname = 'ftps'\n[[backend]]\nname = 'one'\nservers = ['a']\n{lines}\n")
}

fn one(lines: &str) -> String {
    limits(&format!("[[limit]]\nname = 'l'\n{lines}"))
}

#[test]
fn a_limit_is_read() {
    let limit =
        right(&one("per = 'network'\nipv4_prefix = 16\nsessions = 3\nfailed_logins = '5/10min'")).config;
    let [limit] = limit.limits.as_slice() else { panic!("{limit:?}") };
    assert_eq!(limit.per, Scope::Network { v4_prefix: 16, v6_prefix: 48 });
    assert_eq!((limit.sessions, limit.lockout), (Some(3), Duration::from_secs(900)));
    assert_eq!(limit.origin.line, 6);
}

#[test]
fn a_limit_names_what_exists_and_counts_what_can_be_counted() {
    for (lines, message, hint) in [
        ("per = 'address'", "6:1: this [[limit]] limits nothing", "`sessions = 20`"),
        ("per = 'adress'\nsessions = 1", "8:7: `per`: must be", "did you mean \"address\"?"),
        ("sessions = 1", "6:1: ", "per"),
        (
            "per = 'user'\nsessions = 1\nlisteners = ['ftp']",
            "10:14: there is no listener `ftp`",
            "did you mean",
        ),
        ("per = 'user'\nsessions = 1\nbackends = ['on']", "10:13: there is no backend `on`", "did you mean"),
        ("per = 'user'\nconnections = '1/s'", "6:1: a connection has no TLS", "limit `sessions`"),
        ("per = 'gateway'\nconnections = '1/s'\nusers = ['a']", "6:1: a connection has no TLS", "limit"),
        ("per = 'session'\nsessions = 1", "6:1: a session is one session", "per address"),
        ("per = 'session'\nfailed_logins = '3/h'", "6:1: who is locked out per session", "login_attempts"),
        ("per = 'gateway'\nfailed_logins = '3/h'", "6:1: one client's wrong passwords", "network or user"),
        ("per = 'listener'\nfailed_logins = '3/h'", "6:1: one client's wrong passwords", "network or user"),
        ("per = 'backend'\nfailed_logins = '3/h'", "6:1: one client's wrong passwords", "network or user"),
        ("per = 'address'\nlockout = '0s'\nfailed_logins = '1/h'", "9:11: `lockout`: cannot be zero", "1s"),
        ("per = 'address'\nlockout = '1h'\nsessions = 1", "9:11: `lockout` has no effect", "failed_logins"),
        ("per = 'address'\nfailed_logins = '1001/h'", "6:1: `failed_logins` counts up to 1000", "smaller"),
        (
            "per = 'address'\nipv4_prefix = 8\nsessions = 1",
            "9:15: `ipv4_prefix` has a meaning only",
            "network",
        ),
        ("per = 'address'\nsessions = 1\nusers = []", "10:9: `users` is empty", "then anything does"),
        ("per = 'address'\ncommands = '50'", "9:12: `commands`: `50` is not a number in a time", "60/min"),
    ] {
        let diagnostics = read(&one(lines)).expect_err(message);
        let [only] = diagnostics.errors() else { panic!("{lines}: {diagnostics}") };
        assert!(brief(only).starts_with(message) && only.hint().contains(hint), "{diagnostics}");
    }
    only_error(
        &limits(
            "[[limit]]\nname = 'a'\nper = 'user'\nsessions = 1\n[[limit]]\nname = 'a'\nper = 'gateway'\nsessions = 9",
        ),
        "11:8: two limits are called `a`",
        "another name",
    );
}

#[test]
fn a_limit_that_is_never_reached_is_doubtful() {
    let two = |first: &str, second: &str| {
        limits(&format!("[[limit]]\nname = 'a'\n{first}\n[[limit]]\nname = 'b'\n{second}"))
    };
    let doubts = |first: &str, second: &str| doubtful(&two(first, second)).len();
    let ten = "per = 'address'\nsessions = 10";
    assert_eq!(doubts(ten, "per = 'address'\nsessions = 20\nfrom = ['10.0.0.0/8']"), 1);
    assert_eq!(doubts(ten, ten), 1);
    assert_eq!(doubts(ten, "per = 'address'\nsessions = 5\nfrom = ['10.0.0.0/8']"), 0);
    assert_eq!(doubts(ten, "per = 'user'\nsessions = 20"), 0);
    assert_eq!(
        doubts("per = 'user'\nsessions = 1\nusers = ['a*']", "per = 'user'\nsessions = 2\nusers = ['ab']"),
        1
    );
    assert_eq!(doubts("per = 'gateway'\ncommands = '60/min'", "per = 'gateway'\ncommands = '2/s'"), 0);
}

#[test]
fn whom_a_limit_is_about_is_said_as_in_a_rule() {
    let group = "[[group]]\nname = 'g'\nusers = ['anna']\n";
    let text = one("per = 'user'\nsessions = 1\ngroups = ['g']\ncertificates = ['CN=a']\ntls = '>=1.2'");
    let tls = "[tls.default]\nclient_certificates = 'request'\nclient_ca = 'ca.pem'\n";
    let loaded = right(&format!("{group}{tls}{text}"));
    assert_eq!(loaded.warnings, []);
    let matchers = &loaded.config.limits[0].matchers;
    assert_eq!((matchers.groups.len(), matchers.certificates.len(), matchers.tls.is_some()), (1, 1, true));
    for (lines, message, hint) in [
        ("groups = ['h']", "10:11: there is no group `h`", "there is no group at all"),
        ("certificates = ['$user']", "10:17: `certificates`: `$user`: `$user` has a meaning in", "acme-*"),
        ("tls = 'ssl'", "10:7: `tls`: `ssl` is not understood", "1.2"),
        ("connections = '1/s'\ntls = '=1.3'", "6:1: a connection has no TLS", "limit `sessions`"),
        ("connections = '1/s'\ncertificates = ['CN=a']", "6:1: a connection has no TLS", "limit `sessions`"),
    ] {
        let diagnostics = read(&one(&format!("per = 'address'\nsessions = 1\n{lines}"))).expect_err(message);
        let [only] = diagnostics.errors() else { panic!("{lines}: {diagnostics}") };
        assert!(brief(only).starts_with(message) && only.hint().contains(hint), "{diagnostics}");
    }
    let of_group = one("per = 'address'\nconnections = '1/s'\ngroups = ['g']");
    only_error(
        &format!("{of_group}{group}"),
        "6:1: a connection has no TLS, no user and no backend yet: this limit would never count `connections`",
        "limit `sessions`",
    );
    right(&format!("{of_group}[[group]]\nname = 'g'\nfrom = ['::/0']\n"));
    only_warning(
        &one("per = 'address'\nsessions = 1\ncertificates = ['CN=a']"),
        "10:16: this limit never matches: no listener asks clients for certificates",
        "client_certificates",
    );
}

#[test]
fn transfers_are_not_counted_per_session() {
    only_error(
        &one("per = 'session'\ntransfers = 2"),
        "6:1: a session has one transfer at a time: there is nothing to count per session",
        "per address",
    );
    let limit = right(&one("per = 'session'\nlogins = '3/h'\ncommands = '1/s'")).config;
    assert_eq!(limit.limits[0].logins.map(|rate| rate.count.get()), Some(3));
    let limit = right(&one("per = 'user'\ntransfers = 2")).config;
    assert_eq!(limit.limits[0].transfers, Some(2));
}

#[test]
fn a_wider_limit_makes_a_narrower_one_idle() {
    let text = limits(
        "[[limit]]\nname = 'a'\nper = 'address'\ntransfers = 10\nlogins = '5/min'\n\
         [[limit]]\nname = 'g'\nper = 'gateway'\ntransfers = 9\nlogins = '6/min'",
    );
    only_warning(
        &text,
        "6:1: `transfers` of this [[limit]] is never reached: another one is as tight or tighter",
        "make this limit the tighter one",
    );
}
