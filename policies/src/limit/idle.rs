//! Limits that nobody can reach, because another one holds earlier for all that they count.
//!
//! Limits are compared two by two and key by key, and one is named only where it is sure.

use crate::limit::{EventRate, Limit, Scope};
use crate::shadow::covers_subjects;

/// A key of a limit that has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    /// Which limit, by its place.
    pub limit: usize,
    /// What of it, as its key says it.
    pub key: &'static str,
    /// The limit that holds earlier, by its place.
    pub by: usize,
}

/// All that is idle among these limits. Of two that are equally tight the later is.
pub fn idle(limits: &[Limit]) -> Vec<Idle> {
    let mut found = Vec::new();
    for (place, limit) in limits.iter().enumerate().take(COMPARED_MAX) {
        for key in KEYS {
            let by = limits.iter().enumerate().take(COMPARED_MAX).find(|&(other_place, other)| {
                let stands_first = other_place < place || !counts_all_of(key, limit, other);
                other_place != place
                    && counts_all_of(key, other, limit)
                    && is_tighter(key, other, limit, stands_first)
            });
            found.extend(by.map(|(by, _)| Idle { limit: place, key, by }));
        }
    }
    found
}

/// Whether all that `narrow` counts under one key `wide` counts under one key, too.
fn counts_all_of(key: &str, wide: &Limit, narrow: &Limit) -> bool {
    // A file is as large for whomever it is counted.
    let is_scope_wide = key == "file_size" || holds(wide.per, narrow.per);
    is_scope_wide && covers_subjects(&wide.matchers, &narrow.matchers)
}

/// Whether whatever is of one key of `narrow` is of one key of `wide`. A user and a backend are not known at first, so
/// a session's count may hold what theirs does not.
fn holds(wide: Scope, narrow: Scope) -> bool {
    match (wide, narrow) {
        (Scope::Gateway, _) => true,
        (
            Scope::Network { v4_prefix: wide_v4, v6_prefix: wide_v6 },
            Scope::Network { v4_prefix, v6_prefix },
        ) => wide_v4 <= v4_prefix && wide_v6 <= v6_prefix,
        (Scope::Network { v6_prefix, .. }, Scope::Address) => v6_prefix <= V6_HOST_PREFIX,
        (Scope::Listener | Scope::Address | Scope::Network { .. }, Scope::Session) => true,
        (
            Scope::Listener
            | Scope::Backend
            | Scope::Address
            | Scope::Network { .. }
            | Scope::User
            | Scope::Session,
            _,
        ) => wide == narrow,
    }
}

/// Whether one limit is as tight as another, or tighter; if they are equal, whether it stands first.
fn is_tighter(key: &str, tight: &Limit, loose: &Limit, stands_first: bool) -> bool {
    if key == "failed_logins" {
        return locks_out_before(tight, loose, stands_first);
    }
    let (Some(tight), Some(loose)) = (tightness(key, tight), tightness(key, loose)) else { return false };
    (0..2).all(|part| tight[part] <= loose[part]) && (stands_first || tight != loose)
}

/// How tight a limit is: so many at once, and so many in a second.
fn tightness(key: &str, limit: &Limit) -> Option<[f64; 2]> {
    let events = |rate: Option<EventRate>| {
        let rate = rate?;
        let count = f64::from(rate.count.get());
        Some([count, count / rate.period.as_secs_f64()])
    };
    #[expect(clippy::cast_precision_loss, reason = "they are only compared")]
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| [bytes as f64; 2]);
    let count = |most: Option<u32>| most.map(|most| [f64::from(most); 2]);
    match key {
        "sessions" => count(limit.sessions),
        "transfers" => count(limit.transfers),
        "connections" => events(limit.connections),
        "logins" => events(limit.logins),
        "commands" => events(limit.commands),
        "upload" => bytes(limit.upload_rate_bytes),
        "download" => bytes(limit.download_rate_bytes),
        "file_size" => bytes(limit.file_bytes_max),
        other => unreachable!("{other} is not compared"),
    }
}

/// Whether a limit always locks out before another would. While a lockout lasts nothing fails: if that is as long as
/// the other's window, the other never sees more failures than one lockout takes.
fn locks_out_before(tight: &Limit, loose: &Limit, stands_first: bool) -> bool {
    let (Some(one), Some(other)) = (tight.failed_logins, loose.failed_logins) else { return false };
    let comes_first = one.count <= other.count && one.period >= other.period && tight.lockout >= other.period;
    // At an equal count both begin.
    let lasts = one.count < other.count || tight.lockout >= loose.lockout;
    let is_equal = one == other && tight.lockout == loose.lockout;
    comes_first && lasts && (stands_first || !is_equal)
}

/// Every key that limits something.
const KEYS: [&str; 9] = [
    "sessions",
    "transfers",
    "connections",
    "logins",
    "commands",
    "failed_logins",
    "upload",
    "download",
    "file_size",
];
/// More limits are not compared: each pair is.
const COMPARED_MAX: usize = 200;
/// What an IPv6 address is counted by.
const V6_HOST_PREFIX: u8 = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ipnet::IpNet;

    use super::*;
    use crate::limit::tests::limit;
    use crate::rule::Matchers;
    use crate::tests::globs;

    fn rate(count: u32, seconds: u64) -> Option<EventRate> {
        Some(EventRate { count: count.try_into().unwrap(), period: Duration::from_secs(seconds) })
    }

    /// Which of two limits is idle, as their places, and for which keys.
    fn idle_of(one: &Limit, other: &Limit) -> Vec<(usize, &'static str)> {
        let found = idle(&[one.clone(), other.clone()]);
        found.into_iter().map(|idle| (idle.limit, idle.key)).collect()
    }

    #[test]
    fn every_key_is_compared() {
        let of = |per, much: u32| Limit {
            sessions: Some(much),
            transfers: Some(much),
            connections: rate(much, 60),
            logins: rate(much, 60),
            commands: rate(much, 60),
            failed_logins: rate(much, 60),
            upload_rate_bytes: Some(much.into()),
            download_rate_bytes: Some(much.into()),
            file_bytes_max: Some(much.into()),
            ..limit("l", per)
        };
        let all: Vec<_> = KEYS.iter().map(|&key| (1, key)).collect();
        for per in [Scope::Address, Scope::User, Scope::Gateway, Scope::Backend, Scope::Session] {
            assert_eq!(idle_of(&of(per, 5), &of(per, 6)), all);
            assert_eq!(idle_of(&of(per, 5), &of(per, 5)), all, "the later of two equal ones");
            assert!(idle_of(&of(per, 6), &of(per, 5)).iter().all(|(place, _)| *place == 0));
        }
    }

    #[test]
    fn a_wider_scope_holds_what_is_counted_in_it() {
        let network = |v4_prefix, v6_prefix| Scope::Network { v4_prefix, v6_prefix };
        let scopes = [
            Scope::Gateway,
            Scope::Listener,
            Scope::Backend,
            network(16, 32),
            network(24, 48),
            network(24, 80),
            Scope::Address,
            Scope::User,
            Scope::Session,
        ];
        let held = |wide: Scope| scopes.map(|narrow| if holds(wide, narrow) { '+' } else { '-' });
        let table: Vec<String> = scopes.iter().map(|&wide| held(wide).iter().collect()).collect();
        assert_eq!(
            table,
            [
                "+++++++++", // gateway
                "-+------+",
                "--+------",
                "---++++-+", // network 16, 32
                "----+++-+",
                "-----+--+", // of IPv6 less than an address' /64
                "------+-+",
                "-------+-",
                "--------+",
            ]
        );
        let commands = |per, count| Limit { commands: rate(count, 1), ..limit("l", per) };
        assert_eq!(idle_of(&commands(Scope::Address, 9), &commands(Scope::Gateway, 9)), [(0, "commands")]);
        assert_eq!(idle_of(&commands(Scope::Address, 8), &commands(Scope::Gateway, 9)), []);
        assert_eq!(idle_of(&commands(Scope::User, 8), &commands(Scope::Session, 9)), []);
    }

    #[test]
    fn bursts_and_rates_must_both_be_tighter() {
        let of = |count, seconds| Limit { commands: rate(count, seconds), ..limit("l", Scope::Address) };
        assert_eq!(idle_of(&of(60, 60), &of(2, 1)), []);
        assert_eq!(idle_of(&of(60, 60), &of(120, 60)), [(1, "commands")]);
    }

    #[test]
    fn a_lockout_hides_another_only_while_it_lasts() {
        let of = |count, window, lockout| Limit {
            failed_logins: rate(count, window),
            lockout: Duration::from_secs(lockout),
            ..limit("l", Scope::Address)
        };
        assert_eq!(idle_of(&of(3, 600, 900), &of(5, 600, 900)), [(1, "failed_logins")]);
        assert_eq!(
            idle_of(&of(3, 60, 60), &of(10, 3600, 86_400)),
            [],
            "many short lockouts, then a long one"
        );
        assert_eq!(idle_of(&of(3, 600, 900), &of(3, 600, 1800)), [(0, "failed_logins")]);
        assert_eq!(idle_of(&of(3, 600, 900), &of(3, 300, 1800)), [], "both begin, and one lasts longer");
    }

    #[test]
    fn who_is_counted_decides_too() {
        let about =
            |matchers, sessions| Limit { matchers, sessions: Some(sessions), ..limit("l", Scope::Gateway) };
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        let from = |text: &str| Matchers { from: vec![network(text)], ..Matchers::default() };
        let groups = |name: &str| Matchers { groups: vec![name.to_owned()], ..Matchers::default() };
        let tls = |text: &str| Matchers {
            tls: Some(crate::rule::TlsRequirement::parse(text).unwrap()),
            ..Matchers::default()
        };
        let users = |text: &str| Matchers { users: globs(&[text]), ..Matchers::default() };
        for (wide, narrow) in [
            (Matchers::default(), users("a")),
            (users("a*"), users("ab")),
            (from("10.0.0.0/8"), from("10.1.0.0/16")),
            (tls(">=1.2"), tls("=1.3")),
        ] {
            assert_eq!(idle_of(&about(wide.clone(), 5), &about(narrow.clone(), 6)), [(1, "sessions")]);
            assert_eq!(idle_of(&about(wide, 6), &about(narrow, 5)), []);
        }
        assert_eq!(idle_of(&about(groups("g"), 5), &about(groups("g"), 6)), [(1, "sessions")]);
        assert_eq!(idle_of(&about(groups("g"), 5), &about(groups("h"), 6)), []);
    }
}
