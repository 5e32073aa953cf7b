//! Sessions against limits, under a clock that stands still or is moved by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_ftp::session::LoginVerdict;
use ftpsgate_policies::Subject;
use ftpsgate_policies::limit::bandwidth::Grant;
use ftpsgate_policies::limit::{Direction, EventRate, Limit, Scope};
use ftpsgate_policies::request::{Certificate, Tls, TlsVersion};
use ftpsgate_policies::rule::{CertificatePattern, Matchers, Origin, TlsRequirement};
use tokio::time::advance;

use super::{Refusal, SharedLimits, Ticket};

pub(super) fn limit(name: &str) -> Limit {
    Limit {
        name: name.to_owned(),
        origin: Origin { file: "gate.toml".into(), line: 1 },
        per: Scope::Address,
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

fn rate(count: u32, period: Duration) -> Option<EventRate> {
    Some(EventRate { count: count.try_into().unwrap(), period })
}

fn is_locked(ticket: &Ticket, subject: &Subject) -> bool {
    matches!(ticket.judge_login(subject), Ok(LoginVerdict::LockedOut(_)))
}

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn subject(user: Option<&str>) -> Subject {
    Subject {
        address: ADDRESS,
        user: user.map(|user| user.as_bytes().to_vec()),
        listener: "ftps".into(),
        backend: if user.is_some() { "legacy".into() } else { String::new() },
        tls: None,
        certificate: None,
    }
}

fn shared(limits: Vec<Limit>) -> Arc<SharedLimits> {
    let shared = Arc::new(SharedLimits::default());
    shared.reload(limits, Vec::new()).unwrap();
    shared
}

fn admit(shared: &Arc<SharedLimits>) -> Result<Ticket, Refusal> {
    shared.admit("ftps", ADDRESS).map_err(|refused| refused.refusal)
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_in_time_and_sessions_at_once() {
    let shared = shared(vec![
        Limit { connections: rate(3, MINUTE), ..limit("connections") },
        Limit { sessions: Some(2), ..limit("sessions") },
    ]);
    let first = admit(&shared).unwrap();
    let _second = admit(&shared).unwrap();
    assert_eq!(admit(&shared).unwrap_err(), Refusal::Sessions);
    drop(first);
    let third = admit(&shared).unwrap();
    drop(third);
    assert_eq!(admit(&shared).unwrap_err(), Refusal::Connections);
    assert!(shared.admit("ftps", IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8))).is_ok());
    advance(Duration::from_secs(20)).await;
    assert!(admit(&shared).is_ok());
    assert_eq!(shared.overview(9).sessions, 1, "what was refused and what is over is forgotten");
}

#[tokio::test(start_paused = true)]
async fn users_count_once_they_are_logged_in() {
    let per_user = Limit { per: Scope::User, sessions: Some(1), ..limit("per user") };
    let shared = shared(vec![per_user]);
    let (first, second) = (admit(&shared).unwrap(), admit(&shared).unwrap());
    assert!(first.refuses(&subject(Some("anna"))).is_none());
    assert!(second.refuses(&subject(Some("anna"))).is_some());
    let third = admit(&shared).unwrap();
    assert!(third.refuses(&subject(Some("berta"))).is_none());
    drop(first);
    assert!(admit(&shared).unwrap().refuses(&subject(Some("anna"))).is_none());
}

#[tokio::test(start_paused = true)]
async fn commands_are_counted_for_the_session_and_for_the_user_who_is_logged_in() {
    let second = Duration::from_secs(1);
    let per_user = Limit { per: Scope::User, commands: rate(5, second), ..limit("per user") };
    let shared = shared(vec![per_user]);
    let ticket = admit(&shared).unwrap();
    assert!((0..100).all(|_| ticket.refuses_command().is_none()), "nobody is known yet");
    assert!(ticket.refuses(&subject(Some("anna"))).is_none());
    assert_eq!((0..100).filter(|_| ticket.refuses_command().is_none()).count(), 5);
    advance(second).await;
    assert_eq!((0..100).filter(|_| ticket.refuses_command().is_none()).count(), 5);
}

#[tokio::test(start_paused = true)]
async fn failed_logins_lock_out_until_time_or_an_operator_ends_it() {
    let failing = |per, name| Limit { per, failed_logins: rate(3, MINUTE), ..limit(name) };
    let shared = shared(vec![failing(Scope::Address, "by address"), failing(Scope::User, "by user")]);
    let ticket = admit(&shared).unwrap();
    let anna = subject(Some("anna"));
    for _ in 0..3 {
        assert_eq!(ticket.judge_login(&anna).unwrap(), LoginVerdict::Try);
        ticket.login_failed(&anna);
    }
    assert!(is_locked(&ticket, &anna));
    // A reload forgets no lockout, even if the limit is gone.
    shared.reload(Vec::new(), Vec::new()).unwrap();
    assert!(is_locked(&ticket, &anna));
    assert_eq!(shared.overview(9).lockouts.len(), 2);
    assert_eq!(shared.unlock_address(ADDRESS), 1);
    assert_eq!(ticket.judge_login(&anna).unwrap(), LoginVerdict::LockedOut("by user".into()));
    assert_eq!(ticket.judge_login(&subject(Some("berta"))).unwrap(), LoginVerdict::Try);
    advance(Duration::from_secs(901)).await;
    assert_eq!(ticket.judge_login(&anna).unwrap(), LoginVerdict::Try);
    assert_eq!(shared.unlock_user(b"anna"), 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_open_count_under_limits_that_come_with_a_reload() {
    let shared = shared(Vec::new());
    let tickets: Vec<_> = (0..3).map(|_| admit(&shared).unwrap()).collect();
    shared.reload(vec![Limit { sessions: Some(3), ..limit("l") }], Vec::new()).unwrap();
    assert_eq!(admit(&shared).unwrap_err(), Refusal::Sessions);
    assert!(tickets[0].refuses(&subject(Some("anna"))).is_none(), "it is counted already");
    drop(tickets);
    assert!(admit(&shared).is_ok());
}

#[tokio::test(start_paused = true)]
async fn passwords_are_counted_and_those_of_who_is_locked_out_are_not() {
    let per_address =
        Limit { logins: rate(4, MINUTE), failed_logins: rate(2, MINUTE), lockout: MINUTE / 2, ..limit("l") };
    let shared = shared(vec![per_address]);
    let ticket = admit(&shared).unwrap();
    let anna = subject(Some("anna"));
    for _ in 0..2 {
        assert_eq!(ticket.judge_login(&anna).unwrap(), LoginVerdict::Try);
        ticket.login_failed(&anna);
    }
    assert!((0..50).all(|_| is_locked(&ticket, &anna)));
    advance(MINUTE / 2).await;
    // Two were used, and two came back.
    let tried = (0..50).filter(|_| ticket.judge_login(&anna).unwrap() == LoginVerdict::Try).count();
    assert_eq!(tried, 4);
    assert_eq!(ticket.judge_login(&anna).unwrap(), LoginVerdict::TooMany("l".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn transfers_count_until_they_are_over_and_a_session_has_one() {
    let per_address = Limit { transfers: Some(2), ..limit("l") };
    let shared = shared(vec![per_address.clone()]);
    let tickets: Vec<_> = (0..3).map(|_| admit(&shared).unwrap()).collect();
    assert!(
        tickets[0].refuses_transfer().is_none()
            && tickets[1].refuses_transfer().is_none()
            && tickets[2].refuses_transfer().is_some()
    );
    // A reload forgets none, changed or not.
    shared.reload(vec![per_address.clone()], Vec::new()).unwrap();
    assert!(tickets[2].refuses_transfer().is_some());
    shared.reload(vec![Limit { transfers: Some(1), ..per_address }], Vec::new()).unwrap();
    tickets[0].transfer_finished();
    tickets[0].transfer_finished();
    assert!(tickets[2].refuses_transfer().is_some());
    assert_eq!((shared.overview(9).transfers, shared.overview(9).fullest[0].share), (1, 1.0));
    drop(tickets);
    assert_eq!((shared.overview(9).transfers, shared.overview(9).fullest), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn tls_and_certificates_count_from_the_handshake_on() {
    let matchers = Matchers {
        certificates: vec![CertificatePattern::parse("CN=acme").unwrap()],
        tls: Some(TlsRequirement::parse("=1.3").unwrap()),
        ..Matchers::default()
    };
    let shared = shared(vec![Limit { matchers, sessions: Some(1), commands: rate(1, MINUTE), ..limit("l") }]);
    let certificate = Certificate { subject: "CN=acme".into(), ..Certificate::default() };
    let secured = |version, name: &str| Subject {
        tls: Some(Tls { version, is_resumed: false }),
        certificate: Some(Box::new(Certificate { subject: name.into(), ..certificate.clone() })),
        ..subject(None)
    };
    let tickets: Vec<_> = (0..4).map(|_| admit(&shared).unwrap()).collect();
    assert!((0..9).all(|_| tickets[0].refuses_command().is_none()));
    assert!(tickets[0].refuses(&secured(TlsVersion::V12, "CN=acme")).is_none());
    assert!(tickets[1].refuses(&secured(TlsVersion::V13, "CN=other")).is_none());
    assert!(tickets[2].refuses(&secured(TlsVersion::V13, "CN=acme")).is_none());
    assert!(tickets[3].refuses(&secured(TlsVersion::V13, "CN=acme")).is_some());
    assert!(tickets[2].refuses_command().is_none() && tickets[2].refuses_command().is_some());
    assert!((0..9).all(|_| tickets[1].refuses_command().is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_bad_reload_changes_nothing() {
    let good = Limit { sessions: Some(1), upload_rate_bytes: Some(1000), ..limit("l") };
    let shared = shared(vec![good.clone()]);
    let ticket = admit(&shared).unwrap();
    let mut throttle = ticket.throttle(Direction::Upload);
    let bad = Limit { failed_logins: rate(9999, MINUTE), upload_rate_bytes: None, sessions: None, ..good };
    assert!(shared.reload(vec![bad], Vec::new()).is_err());
    assert_eq!(admit(&shared).unwrap_err(), Refusal::Sessions);
    assert!(matches!(throttle.request(1 << 30), Grant::Wait(_)));
}

/// How many bytes may move within that time, where each is asked for as soon as it may be.
async fn moved(throttle: &mut super::Throttle, time: Duration) -> u64 {
    let end = tokio::time::Instant::now() + time;
    let mut moved = 0;
    while tokio::time::Instant::now() < end {
        match throttle.request(32 * 1024) {
            Grant::Bytes(bytes) => moved += bytes,
            Grant::Wait(wait) => advance(wait).await,
        }
    }
    moved
}

#[tokio::test(start_paused = true)]
async fn a_transfer_follows_the_rates_of_every_reload() {
    let shared = shared(Vec::new());
    let ticket = admit(&shared).unwrap();
    let mut throttle = ticket.throttle(Direction::Upload);
    assert_eq!(throttle.request(1 << 40), Grant::Bytes(1 << 40), "no limit, no wait");
    for rate in [1_000_000, 20_000_000, 3_000_000] {
        shared.reload(vec![Limit { upload_rate_bytes: Some(rate), ..limit("l") }], Vec::new()).unwrap();
        let moved = moved(&mut throttle, Duration::from_secs(5)).await;
        assert!(moved.abs_diff(rate * 5) <= rate * 5 * 3 / 100, "{moved} of {}", rate * 5);
    }
    shared.reload(vec![Limit { download_rate_bytes: Some(1), ..limit("l") }], Vec::new()).unwrap();
    assert_eq!(throttle.request(1 << 40), Grant::Bytes(1 << 40), "the other direction");
}

#[tokio::test(start_paused = true)]
async fn the_smallest_file_size_holds() {
    let shared = shared(vec![
        Limit { file_bytes_max: Some(9), ..limit("a") },
        Limit { file_bytes_max: Some(5), per: Scope::User, ..limit("b") },
    ]);
    let ticket = admit(&shared).unwrap();
    assert!(ticket.refuses(&subject(Some("anna"))).is_none());
    assert_eq!(ticket.file_bytes_max(), Some(5));
    shared.reload(Vec::new(), Vec::new()).unwrap();
    assert_eq!(ticket.file_bytes_max(), None);
}

/// As many passwords are tried at once as could fail before the lockout; the others wait, and find it begun.
#[tokio::test(start_paused = true)]
async fn passwords_that_are_tried_at_once_cannot_outrun_the_lockout() {
    let shared = shared(vec![Limit { failed_logins: rate(3, MINUTE), ..limit("l") }]);
    let tickets: Vec<Ticket> = (0..10).map(|_| admit(&shared).unwrap()).collect();
    let anna = subject(Some("anna"));
    let mut turns = Vec::new();
    for ticket in &tickets {
        match ticket.judge_login(&anna) {
            Ok(verdict) => assert_eq!(verdict, LoginVerdict::Try),
            Err(turn) => turns.push(turn),
        }
    }
    assert_eq!(turns.len(), 7);
    assert!(turns.iter().all(|turn| !turn.has_changed().unwrap()));
    // One is let in, one fails, and one goes away: two places are free.
    assert!(tickets[0].refuses(&anna).is_none());
    tickets[1].login_failed(&anna);
    let mut tickets = tickets.into_iter();
    drop(tickets.by_ref().nth(2));
    assert!(turns.iter().all(|turn| turn.has_changed().unwrap()));
    let tickets: Vec<Ticket> = tickets.collect();
    let (tried, waiting): (Vec<&Ticket>, Vec<&Ticket>) =
        tickets.iter().partition(|ticket| ticket.judge_login(&anna).is_ok());
    assert_eq!((tried.len(), waiting.len()), (2, 5));
    tried.iter().for_each(|ticket| ticket.login_failed(&anna));
    assert!(waiting.iter().all(|ticket| is_locked(ticket, &anna)));
}

/// After PASS the server asked for an account (332); the client gave a name and a password anew.
#[tokio::test(start_paused = true)]
async fn a_session_does_not_wait_for_its_own_password() {
    let shared = shared(vec![Limit { failed_logins: rate(1, MINUTE), ..limit("l") }]);
    let (first, second) = (admit(&shared).unwrap(), admit(&shared).unwrap());
    let anna = subject(Some("anna"));
    assert_eq!(first.judge_login(&anna).unwrap(), LoginVerdict::Try);
    assert_eq!(first.judge_login(&anna).unwrap(), LoginVerdict::Try);
    let turn = second.judge_login(&anna).unwrap_err();
    first.login_ended();
    assert!(turn.has_changed().unwrap());
    assert_eq!(second.judge_login(&anna).unwrap(), LoginVerdict::Try);
}
