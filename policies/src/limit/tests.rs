//! Limits by scope, kind and time; lockouts; reloads; a million strangers.

use super::*;
use crate::limit::table::KEYS_MAX;
use crate::request::{Subject, Tls, TlsVersion};
use crate::rule::TlsRequirement;
use crate::tests::{anna, globs, origin};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn limit(name: &str, per: Scope) -> Limit {
    Limit {
        name: name.to_owned(),
        origin: origin(1),
        per,
        matchers: Matchers::default(),
        sessions: None,
        transfers: None,
        connections: None,
        logins: None,
        commands: None,
        failed_logins: None,
        lockout: Duration::from_secs(900),
        upload_rate_bytes: None,
        download_rate_bytes: None,
        file_bytes_max: None,
    }
}

fn rate(count: u32, seconds: u64) -> Option<EventRate> {
    Some(EventRate { count: count.try_into().unwrap(), period: Duration::from_secs(seconds) })
}

fn limits(limits: &[Limit]) -> Limits {
    Limits::new(limits.to_vec(), Vec::new()).unwrap()
}

fn from(address: &str) -> Subject {
    Subject { address: address.parse().unwrap(), ..anna() }
}

fn party(subject: &Subject) -> Party<'_> {
    Party { subject, session: 1 }
}

#[test]
fn events_are_counted_for_each_key_of_the_scope() {
    let other = |change: fn(&mut Subject)| {
        let mut subject = anna();
        change(&mut subject);
        subject
    };
    let scopes: [(Scope, Subject, Option<Subject>); 6] = [
        (Scope::Gateway, other(|who| who.listener = "x".into()), None),
        (Scope::Listener, anna(), Some(other(|who| who.listener = "x".into()))),
        (Scope::Backend, anna(), Some(other(|who| who.backend = "x".into()))),
        (Scope::Address, from("::ffff:192.0.2.1"), Some(from("192.0.2.2"))),
        (Scope::Network { v4_prefix: 24, v6_prefix: 48 }, from("192.0.2.9"), Some(from("192.0.3.1"))),
        (Scope::User, from("10.0.0.1"), Some(other(|who| who.user = Some(b"bob".to_vec())))),
    ];
    for (per, same, different) in scopes {
        for event in [Event::Connection, Event::Login, Event::Command] {
            let only = |of| rate(1, 60).filter(|_| of == event);
            let mut limits = limits(&[Limit {
                connections: only(Event::Connection),
                logins: only(Event::Login),
                commands: only(Event::Command),
                ..limit("one", per)
            }]);
            let now = SECOND;
            limits.count(event, party(&anna()), now).unwrap();
            let exceeded = limits.count(event, party(&same), now).unwrap_err();
            assert_eq!(exceeded.what, Exhausted::Event(event, 60 * SECOND), "{per:?}");
            assert_eq!(exceeded.limit.name(), "one");
            if let Some(different) = &different {
                limits.count(event, party(different), now).unwrap();
            }
            limits.count(event, party(&same), now + 60 * SECOND).unwrap();
        }
    }
}

#[test]
fn sessions_are_counted_apart() {
    let mut limits = limits(&[Limit { commands: rate(1, 60), ..limit("one", Scope::Session) }]);
    let subject = anna();
    let session = |session| Party { subject: &subject, session };
    limits.count(Event::Command, session(1), SECOND).unwrap();
    limits.count(Event::Command, session(2), SECOND).unwrap();
    assert!(limits.count(Event::Command, session(1), SECOND).is_err());
}

#[test]
fn hosts_of_one_v6_network_are_one() {
    let mut limits = limits(&[Limit { connections: rate(1, 60), ..limit("one", Scope::Address) }]);
    limits.count(Event::Connection, party(&from("2001:db8::1")), SECOND).unwrap();
    let exceeded = limits.count(Event::Connection, party(&from("2001:db8:0:0:ffff::2")), SECOND).unwrap_err();
    assert_eq!(exceeded.key.to_string(), "2001:db8::/64");
    limits.count(Event::Connection, party(&from("2001:db8:0:1::1")), SECOND).unwrap();
}

#[test]
fn a_limit_is_about_those_whom_it_names() {
    let matchers = Matchers { users: globs(&["bob"]), ..Matchers::default() };
    let mut limits = limits(&[Limit { commands: rate(1, 60), matchers, ..limit("bob's", Scope::Gateway) }]);
    for _ in 0..5 {
        limits.count(Event::Command, party(&anna()), SECOND).unwrap();
    }
    let bob = Subject { user: Some(b"bob".to_vec()), ..anna() };
    limits.count(Event::Command, party(&bob), SECOND).unwrap();
    assert!(limits.count(Event::Command, party(&bob), SECOND).is_err());
}

#[test]
fn an_event_that_one_limit_refuses_is_counted_by_none() {
    let mut limits = limits(&[
        Limit { connections: rate(5, 60), ..limit("wide", Scope::Gateway) },
        Limit { connections: rate(1, 60), ..limit("tight", Scope::Address) },
    ]);
    limits.count(Event::Connection, party(&anna()), SECOND).unwrap();
    for _ in 0..20 {
        assert_eq!(
            limits.count(Event::Connection, party(&anna()), SECOND).unwrap_err().limit.name(),
            "tight"
        );
    }
    limits.count(Event::Connection, party(&from("10.0.0.1")), SECOND).unwrap();
    let fullest = limits.fullest(1, SECOND, |_| true);
    assert_eq!((fullest[0].limit.name(), fullest.len()), ("tight", 1));
}

#[test]
fn what_lasts_is_counted_until_it_ends() {
    for activity in [Activity::Session, Activity::Transfer] {
        let mut limits =
            limits(&[Limit { sessions: Some(2), transfers: Some(2), ..limit("two", Scope::Address) }]);
        let first = limits.hold(activity, party(&anna())).unwrap();
        let second = limits.hold(activity, party(&anna())).unwrap();
        let exceeded = limits.hold(activity, party(&anna())).unwrap_err();
        assert_eq!(exceeded.what, Exhausted::Activity(activity));
        limits.release(first);
        let third = limits.hold(activity, party(&anna())).unwrap();
        limits.release(second);
        limits.release(third);
        let counts: usize =
            limits.counters[0].activities.iter().flatten().map(|(_, counts)| counts.len()).sum();
        assert_eq!(counts, 0, "nothing is kept for who holds nothing");
    }
}

#[test]
fn who_logs_in_later_is_counted_as_a_user_then() {
    let mut limits = limits(&[Limit { sessions: Some(1), ..limit("one each", Scope::User) }]);
    let stranger = Subject { user: None, ..anna() };
    let mut hold = limits.hold(Activity::Session, party(&stranger)).unwrap();
    limits.renew(&mut hold, party(&anna()));
    limits.renew(&mut hold, party(&anna()));
    assert!(limits.hold(Activity::Session, party(&anna())).is_err());
    limits.release(hold);
    let hold = limits.hold(Activity::Session, party(&anna())).unwrap();
    limits.release(hold);
}

#[test]
fn what_lasts_is_counted_once_however_often_limits_change() {
    let of = |most| vec![Limit { sessions: Some(most), ..limit("l", Scope::Address) }];
    let mut limits = Limits::new(of(1), Vec::new()).unwrap();
    let mut hold = limits.hold(Activity::Session, party(&anna())).unwrap();
    for most in 1..1000 {
        limits.reload(of(most), Vec::new()).unwrap();
        limits.renew(&mut hold, party(&anna()));
    }
    assert_eq!(hold.counts.len(), 1, "limits that are gone are forgotten");
    limits.release(hold);
    limits.hold(Activity::Session, party(&anna())).map(|hold| limits.release(hold)).unwrap();
}

#[test]
fn a_limit_lets_go_of_whom_it_does_not_concern_any_more() {
    let matchers = Matchers { tls: Some(TlsRequirement::parse("none").unwrap()), ..Matchers::default() };
    let mut limits = limits(&[Limit { sessions: Some(1), matchers, ..limit("in clear", Scope::Gateway) }]);
    let clear = Subject { tls: None, ..anna() };
    let secured = Subject { tls: Some(Tls { version: TlsVersion::V13, is_resumed: false }), ..anna() };
    let mut hold = limits.hold(Activity::Session, party(&clear)).unwrap();
    assert!(limits.hold(Activity::Session, party(&clear)).is_err());
    limits.extend(&mut hold, party(&secured)).unwrap();
    let other = limits.hold(Activity::Session, party(&clear)).unwrap();
    limits.release(hold);
    assert!(limits.hold(Activity::Session, party(&clear)).is_err());
    limits.release(other);
}

#[test]
fn groups_are_those_of_the_last_reload() {
    let group = |user: &str| Group {
        name: "staff".into(),
        origin: origin(1),
        users: globs(&[user]),
        from: Vec::new(),
    };
    let matchers = Matchers { groups: vec!["staff".into()], ..Matchers::default() };
    let one = vec![Limit { commands: rate(1, 60), matchers, ..limit("staff", Scope::User) }];
    let mut limits = Limits::new(one.clone(), vec![group("bob")]).unwrap();
    (0..9).for_each(|_| limits.count(Event::Command, party(&anna()), SECOND).unwrap());
    limits.reload(one, vec![group("anna")]).unwrap();
    limits.count(Event::Command, party(&anna()), SECOND).unwrap();
    assert!(limits.count(Event::Command, party(&anna()), SECOND).is_err());
}

#[test]
fn the_nth_failure_in_the_window_locks_out() {
    let mut limits = limits(&[Limit { failed_logins: rate(3, 600), ..limit("brute", Scope::Address) }]);
    let at = |seconds: u64| Duration::from_secs(1_000 + seconds);
    assert!(limits.login_failed(party(&anna()), at(0)).is_empty());
    assert!(limits.login_failed(party(&anna()), at(599)).is_empty());
    assert!(limits.login_failed(party(&anna()), at(600)).is_empty(), "the first has left the window");
    assert_eq!(limits.locked(party(&anna()), at(600)), None);
    let begun = limits.login_failed(party(&anna()), at(601));
    assert_eq!((begun.len(), begun[0].until), (1, at(601 + 900)));
    assert!(limits.locked(party(&anna()), at(601 + 899)).is_some());
    assert!(limits.locked(party(&from("10.0.0.1")), at(602)).is_none());
    assert_eq!(limits.locked(party(&anna()), at(601 + 900)), None);
    assert!(limits.login_failed(party(&anna()), at(601 + 900)).is_empty(), "and counting begins anew");
}

#[test]
fn addresses_and_users_are_locked_out_and_unlocked() {
    let mut limits = limits(&[
        Limit { failed_logins: rate(2, 600), ..limit("address", Scope::Address) },
        Limit { failed_logins: rate(2, 600), lockout: 60 * SECOND, ..limit("user", Scope::User) },
    ]);
    limits.login_failed(party(&anna()), SECOND);
    assert_eq!(limits.login_failed(party(&anna()), SECOND).len(), 2);
    assert_eq!(limits.lockouts(SECOND).count(), 2);
    let elsewhere = from("10.0.0.1");
    assert_eq!(limits.locked(party(&elsewhere), SECOND).unwrap().limit.name(), "user");
    assert_eq!(limits.locked(party(&anna()), SECOND).unwrap().limit.name(), "address", "it lasts longer");
    assert_eq!(limits.unlock_user(b"anna", SECOND), 1);
    assert_eq!(limits.locked(party(&elsewhere), SECOND), None);
    assert_eq!(limits.unlock_address("192.0.2.1".parse().unwrap(), SECOND), 1);
    assert_eq!(limits.locked(party(&anna()), SECOND), None);
    assert_eq!(limits.unlock_user(b"anna", SECOND), 0);
}

#[test]
fn a_network_is_unlocked_with_all_within_it() {
    let network = Scope::Network { v4_prefix: 24, v6_prefix: 48 };
    let locked = |address: &str| {
        let mut limits = limits(&[
            Limit { failed_logins: rate(1, 600), ..limit("address", Scope::Address) },
            Limit { failed_logins: rate(1, 600), ..limit("network", network) },
            Limit { failed_logins: rate(1, 600), ..limit("user", Scope::User) },
        ]);
        assert_eq!(limits.login_failed(party(&from(address)), SECOND).len(), 3);
        limits
    };
    for (address, asked, ended) in [
        ("192.0.2.1", "192.0.2.0/24", 2),
        ("192.0.2.1", "192.0.2.1/32", 1),
        ("192.0.2.1", "192.0.0.0/16", 2),
        ("192.0.2.1", "192.0.3.0/24", 0),
        ("::1:0:0:7", "::/48", 2),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64", 1),
        ("2001:db8:0:1::7", "2001:db8:0:1::/80", 0),
        ("192.0.2.1", "::/0", 0),
    ] {
        let network = asked.parse().unwrap();
        assert_eq!(locked(address).unlock_network(network, SECOND), ended, "{address} {asked}");
    }
}

#[test]
fn every_spelling_of_a_user_is_the_same_user() {
    let mut limits = limits(&[Limit { failed_logins: rate(3, 60), ..limit("l", Scope::User) }]);
    let named = |name: &str| Subject { user: Some(name.as_bytes().to_vec()), ..anna() };
    for name in ["Änne", "ÄNNE", "a\u{308}nne"] {
        limits.login_failed(party(&named(name)), SECOND);
    }
    assert!(limits.locked(party(&named("änne")), SECOND).is_some());
    assert!(limits.locked(party(&named("anne")), SECOND).is_none());
}

#[test]
fn a_reload_keeps_unchanged_limits_and_all_lockouts() {
    let kept = Limit { connections: rate(1, 60), ..limit("kept", Scope::Address) };
    let changed = Limit { logins: rate(1, 60), ..limit("changed", Scope::Address) };
    let brute = Limit { failed_logins: rate(1, 60), sessions: Some(1), ..limit("brute", Scope::Address) };
    let mut limits = limits(&[kept.clone(), changed.clone(), brute]);
    limits.count(Event::Connection, party(&anna()), SECOND).unwrap();
    limits.count(Event::Login, party(&anna()), SECOND).unwrap();
    limits.login_failed(party(&anna()), SECOND);
    let hold = limits.hold(Activity::Session, party(&anna())).unwrap();

    let wrong = Limit { connections: rate(1, 0), ..limit("wrong", Scope::Address) };
    assert_eq!(limits.reload(vec![wrong], Vec::new()).unwrap_err()[0].problem, LimitProblem::Period);
    assert!(limits.count(Event::Login, party(&anna()), SECOND).is_err(), "a bad reload changes nothing");

    let moved = Limit { origin: origin(99), ..kept };
    let changed = Limit { logins: rate(2, 60), ..changed };
    limits.reload(vec![changed, moved], Vec::new()).unwrap();
    let exceeded = limits.count(Event::Connection, party(&anna()), SECOND).unwrap_err();
    assert_eq!(exceeded.limit.origin().line, 99);
    limits.count(Event::Login, party(&anna()), SECOND).unwrap();
    assert_eq!(limits.locked(party(&anna()), SECOND).unwrap().limit.name(), "brute");
    limits.release(hold);
}

#[test]
fn a_million_strangers_cost_less_than_200_megabytes() {
    let mut limits = limits(&[Limit {
        connections: rate(60, 60),
        failed_logins: rate(5, 600),
        sessions: Some(20),
        ..limit("per address", Scope::Address)
    }]);
    let mut subject = anna();
    for number in 0..1_000_000_u32 {
        subject.address = IpAddr::V4((0x0A00_0000 + number).into());
        let now = Duration::from_micros(u64::from(number) * 10);
        limits.count(Event::Connection, party(&subject), now).unwrap();
        let hold = limits.hold(Activity::Session, party(&subject)).unwrap();
        limits.login_failed(party(&subject), now);
        limits.release(hold);
    }
    let megabytes = limits.state_bytes() / 1_000_000;
    assert!((10..200).contains(&megabytes), "{megabytes} MB");
    let (_, table) = limits.counters[0].events[Event::Connection as usize].as_ref().unwrap();
    assert_eq!(table.iter().count(), KEYS_MAX);
}

#[test]
fn a_flood_displaces_the_spent_first() {
    let mut limits = limits(&[Limit { connections: rate(60, 3600), ..limit("one", Scope::Address) }]);
    let busy = from("192.0.2.1");
    for _ in 0..60 {
        limits.count(Event::Connection, party(&busy), SECOND).unwrap();
    }
    let mut subject = anna();
    for number in 0..300_000_u32 {
        subject.address = IpAddr::V4((0x0A00_0000 + number).into());
        limits.count(Event::Connection, party(&subject), SECOND).unwrap();
    }
    assert!(limits.count(Event::Connection, party(&busy), SECOND).is_err(), "it is the fullest of all");
}

#[test]
fn long_user_names_cost_no_more_than_short_ones() {
    let name = |length: usize| Subject { user: Some(vec![b'x'; length]), ..anna() };
    let key = Scope::User.key(party(&name(4_000))).unwrap();
    assert_eq!(key, Scope::User.key(party(&name(64))).unwrap());
}

#[test]
fn lockouts_are_bounded_and_the_shortest_go_first() {
    let mut lockouts = Lockouts::default();
    let limit = Arc::new(limit("one", Scope::Session));
    let reference = RuleRef::new("one", &origin(1));
    let most = u64::try_from(super::failures::LOCKOUTS_MAX).unwrap();
    for number in 0..most + 10 {
        let until = Duration::from_secs(100 + number);
        let lockout = Lockout { limit: reference.clone(), key: Key::Session(number), until };
        lockouts.begin(lockout, Arc::clone(&limit), SECOND);
    }
    let left = lockouts.iter(SECOND).count();
    assert!(left <= super::failures::LOCKOUTS_MAX && left > super::failures::LOCKOUTS_MAX / 2);
    let subject = anna();
    let find = |session| lockouts.find(Party { subject: &subject, session }, SECOND, |_| true);
    assert!(find(0).is_none() && find(most + 9).is_some());
}

#[test]
fn what_no_limit_can_ask_is_refused() {
    let with = |matchers| Limit { matchers, ..limit("x", Scope::Gateway) };
    let wrong = vec![
        with(Matchers { larger_than_bytes: Some(1), ..Matchers::default() }),
        Limit { failed_logins: rate(1001, 60), ..limit("y", Scope::User) },
        limit("y", Scope::Network { v4_prefix: 33, v6_prefix: 64 }),
    ];
    let problems: Vec<_> =
        Limits::new(wrong, Vec::new()).unwrap_err().into_iter().map(|error| error.problem).collect();
    let expected = [
        LimitProblem::Matcher("larger_than"),
        LimitProblem::Failures,
        LimitProblem::Prefix,
        LimitProblem::DuplicateName,
    ];
    assert_eq!(problems, expected);
}

#[test]
fn the_smallest_file_size_and_all_rates_hold() {
    let limits = limits(&[
        Limit { file_bytes_max: Some(100), upload_rate_bytes: Some(5), ..limit("a", Scope::Gateway) },
        Limit { file_bytes_max: Some(50), upload_rate_bytes: Some(7), ..limit("b", Scope::User) },
        Limit { download_rate_bytes: Some(9), ..limit("c", Scope::User) },
    ]);
    let (bytes, by) = limits.file_bytes_max(party(&anna())).unwrap();
    assert_eq!((bytes, by.name()), (50, "b"));
    let rates = |direction| {
        limits.buckets(direction, party(&anna())).into_iter().map(|(_, rate)| rate).collect::<Vec<_>>()
    };
    assert_eq!(rates(Direction::Upload), [5, 7]);
    assert_eq!(rates(Direction::Download), [9]);
}
