//! Sessions against limits, under a clock that stands still or is moved by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate_policies::Subject;
use ftpsgate_policies::limit::bandwidth::Grant;
use ftpsgate_policies::limit::{Direction, EventRate, Limit, Scope};
use ftpsgate_policies::rule::{Matchers, Origin};
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
    shared.reload(limits).unwrap();
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
    assert!(first.refuses_user(&subject(Some("anna"))).is_none());
    assert!(second.refuses_user(&subject(Some("anna"))).is_some());
    let third = admit(&shared).unwrap();
    assert!(third.refuses_user(&subject(Some("berta"))).is_none());
    drop(first);
    assert!(admit(&shared).unwrap().refuses_user(&subject(Some("anna"))).is_none());
}

#[tokio::test(start_paused = true)]
async fn commands_are_counted_for_the_session_and_for_the_user_who_is_logged_in() {
    let second = Duration::from_secs(1);
    let per_user = Limit { per: Scope::User, commands: rate(5, second), ..limit("per user") };
    let shared = shared(vec![per_user]);
    let ticket = admit(&shared).unwrap();
    assert!((0..100).all(|_| ticket.refuses_command().is_none()), "nobody is known yet");
    assert!(ticket.refuses_user(&subject(Some("anna"))).is_none());
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
        assert_eq!(ticket.locked_by(&anna), None);
        ticket.login_failed(&anna);
    }
    assert!(ticket.locked_by(&anna).is_some());
    // A reload forgets no lockout, even if the limit is gone.
    shared.reload(Vec::new()).unwrap();
    assert!(ticket.locked_by(&anna).is_some());
    assert_eq!(shared.overview(9).lockouts.len(), 2);
    assert_eq!(shared.unlock_address(ADDRESS), 1);
    assert_eq!(ticket.locked_by(&anna).as_deref(), Some("by user"));
    assert_eq!(ticket.locked_by(&subject(Some("berta"))), None);
    advance(Duration::from_secs(901)).await;
    assert_eq!(ticket.locked_by(&anna), None);
    assert_eq!(shared.unlock_user(b"anna"), 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_that_are_open_count_under_limits_that_come_with_a_reload() {
    let shared = shared(Vec::new());
    let tickets: Vec<_> = (0..3).map(|_| admit(&shared).unwrap()).collect();
    shared.reload(vec![Limit { sessions: Some(3), ..limit("l") }]).unwrap();
    assert_eq!(admit(&shared).unwrap_err(), Refusal::Sessions);
    assert!(tickets[0].refuses_user(&subject(Some("anna"))).is_none(), "it is counted already");
    drop(tickets);
    assert!(admit(&shared).is_ok());
}

/// How many bytes may move within that time, where each is asked for as soon as it may be.
async fn moved(bounds: &mut super::Bounds, time: Duration) -> u64 {
    let throttle = bounds.throttle.as_mut().unwrap();
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
    let mut bounds = ticket.bounds(Direction::Upload, true);
    assert_eq!(
        bounds.throttle.as_mut().unwrap().request(1 << 40),
        Grant::Bytes(1 << 40),
        "no limit, no wait"
    );
    for rate in [1_000_000, 20_000_000, 3_000_000] {
        shared.reload(vec![Limit { upload_rate_bytes: Some(rate), ..limit("l") }]).unwrap();
        let moved = moved(&mut bounds, Duration::from_secs(5)).await;
        assert!(moved.abs_diff(rate * 5) <= rate * 5 * 3 / 100, "{moved} of {}", rate * 5);
    }
    shared.reload(vec![Limit { download_rate_bytes: Some(1), ..limit("l") }]).unwrap();
    assert_eq!(
        bounds.throttle.as_mut().unwrap().request(1 << 40),
        Grant::Bytes(1 << 40),
        "the other direction"
    );
}

#[tokio::test(start_paused = true)]
async fn the_smallest_file_size_holds_and_not_for_listings() {
    let shared = shared(vec![
        Limit { file_bytes_max: Some(9), ..limit("a") },
        Limit { file_bytes_max: Some(5), per: Scope::User, ..limit("b") },
    ]);
    let ticket = admit(&shared).unwrap();
    assert!(ticket.refuses_user(&subject(Some("anna"))).is_none());
    assert_eq!(ticket.bounds(Direction::Download, true).file_bytes_max, Some(5));
    assert_eq!(ticket.bounds(Direction::Download, false).file_bytes_max, None);
}
