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
        ("per = 'user'\nconnections = '1/s'", "6:1: a connection has no user", "limit `sessions`"),
        ("per = 'gateway'\nconnections = '1/s'\nusers = ['a']", "6:1: a connection has no user", "limit"),
        ("per = 'session'\nsessions = 1", "6:1: a session is one session", "per address"),
        ("per = 'session'\nfailed_logins = '3/h'", "6:1: who is locked out per session", "login_attempts"),
        ("per = 'address'\nlockout = '1h'\nsessions = 1", "9:11: `lockout` has no effect", "failed_logins"),
        ("per = 'address'\nfailed_logins = '1001/h'", "6:1: `failed_logins` counts up to 1000", "smaller"),
        (
            "per = 'address'\nipv4_prefix = 8\nsessions = 1",
            "9:15: `ipv4_prefix` has a meaning only",
            "network",
        ),
        ("per = 'address'\nsessions = 1\nusers = []", "10:9: `users` is empty", "everybody"),
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
