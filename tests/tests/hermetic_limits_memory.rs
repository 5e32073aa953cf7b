//! What a crowd that knocks once each costs, as the system counts it. One test: nothing else may allocate meanwhile.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ftpsgate::limits::{SharedLimits, Ticket};
use ftpsgate_policies::limit::{EventRate, Limit, Scope};
use ftpsgate_policies::rule::{Matchers, Origin};

const MILLION: u32 = 1_000_000;

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it is there");
    let kibibytes: String = line.chars().filter(char::is_ascii_digit).collect();
    kibibytes.parse::<u64>().expect("a number") * 1024
}

fn every_kind() -> Limit {
    let often =
        Some(EventRate { count: 60.try_into().expect("not zero"), period: Duration::from_secs(3600) });
    Limit {
        name: "per address".into(),
        origin: Origin { file: "gate.toml".into(), line: 1 },
        per: Scope::Address,
        matchers: Matchers::default(),
        sessions: Some(20),
        transfers: Some(20),
        connections: often,
        logins: often,
        commands: often,
        failed_logins: often,
        lockout: Duration::from_secs(900),
        upload_rate_bytes: Some(1_000_000),
        download_rate_bytes: Some(1_000_000),
        file_bytes_max: None,
    }
}

/// Connects, gives a command, tries a password that is wrong, and goes.
fn knock(limits: &Arc<SharedLimits>, address: IpAddr) {
    let ticket: Ticket = limits.admit("ftps", address).expect("it knocks once");
    assert!(ticket.refuses_command().is_none());
    let subject = ftpsgate_policies::Subject {
        address,
        user: Some(b"anna".to_vec()),
        listener: "ftps".into(),
        backend: "legacy".into(),
        tls: None,
        certificate: None,
    };
    ticket.judge_login(&subject).expect("one at a time");
    ticket.login_failed(&subject);
}

#[test]
fn a_million_addresses_that_knock_once_cost_less_than_200_megabytes() {
    let limits = Arc::new(SharedLimits::default());
    limits.reload(vec![every_kind()], Vec::new()).expect("it is right");
    let before = resident_bytes();
    for number in 0..MILLION {
        knock(&limits, IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + number)));
    }
    let of_v4 = resident_bytes() - before;
    // More than are kept at most: each takes the place of another.
    for number in 0..MILLION / 3 {
        let network = (0x2001_0db8_u128 << 96) | (u128::from(number) << 64);
        knock(&limits, IpAddr::V6(Ipv6Addr::from_bits(network | 1)));
    }
    let of_both = resident_bytes() - before;
    println!(
        "{} MB for a million of IPv4, {} MB with a third of one of IPv6",
        of_v4 / 1_000_000,
        of_both / 1_000_000
    );
    assert!(of_v4 > 10_000_000, "nothing was counted");
    assert!(of_v4 < 200_000_000 && of_both < 200_000_000, "{of_v4} and {of_both} bytes");
    // Whoever has a /64 has no more for all of its addresses.
    let one = |host: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db9_u128 << 96) | host));
    (0..60).for_each(|host| knock(&limits, one(host)));
    assert!(limits.admit("ftps", one(60)).is_err(), "all addresses of a /64 are one");
}
