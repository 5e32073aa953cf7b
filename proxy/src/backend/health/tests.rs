use proptest::prelude::*;

use super::*;
use crate::config::CheckKind;

const EVERY: Duration = Duration::from_secs(10);

fn rules(kind: CheckKind) -> Rules {
    Rules::new(&Check { kind, every: EVERY, fall: 3, rise: 2 })
}

fn checked() -> Rules {
    rules(CheckKind::Greeting)
}

#[test]
fn three_failed_checks_in_a_row_make_a_server_fall_and_two_good_ones_rise() {
    let (rules, now) = (checked(), Instant::now());
    let mut health = Health::default();
    assert!(health.is_usable(now, &rules));
    for change in [None, None, Some(Change::Down), None] {
        assert_eq!(health.fail(Observer::Check, now, &rules), change);
    }
    assert!(!health.is_usable(now + EVERY * 100, &rules));
    assert_eq!(health.pass(Observer::Check, now, &rules), None);
    assert_eq!(health.fail(Observer::Check, now, &rules), None);
    assert_eq!(health.pass(Observer::Check, now, &rules), None);
    assert_eq!(health.pass(Observer::Check, now, &rules), Some(Change::Up));
    assert!(health.is_usable(now, &rules));
    assert_eq!(health.fail(Observer::Check, now, &rules), None, "a new row");
}

#[test]
fn failures_of_sessions_count_towards_the_fall() {
    let (rules, now) = (checked(), Instant::now());
    let mut health = Health::default();
    assert_eq!(health.fail(Observer::Session, now, &rules), None);
    assert_eq!(health.fail(Observer::Check, now, &rules), None);
    assert_eq!(health.fail(Observer::Session, now, &rules), Some(Change::Down));
}

/// Data ports are firewalled: every session comes to its USER, and no listing ever comes.
#[test]
fn good_logins_do_not_hide_failing_data_checks() {
    let (rules, now) = (rules(CheckKind::Tcp), Instant::now());
    let mut health = Health::default();
    for change in [None, None, Some(Change::Down)] {
        assert_eq!(health.pass(Observer::Session, now, &rules), None);
        assert_eq!(health.fail(Observer::Check, now, &rules), change);
    }
    assert_eq!(health.pass(Observer::Session, now, &rules), None, "nor do they make it rise");
}

#[test]
fn without_checks_a_server_rests_then_a_session_tries_it() {
    let (rules, now) = (rules(CheckKind::Off), Instant::now());
    let mut health = Health::default();
    for change in [None, None, Some(Change::Down)] {
        assert_eq!(health.fail(Observer::Session, now, &rules), change);
    }
    assert!(!health.is_usable(now + EVERY - Duration::from_millis(1), &rules));
    assert!(health.is_usable(now + EVERY, &rules));
    assert_eq!(health.share(now + EVERY, &rules), 1);
    let later = now + EVERY;
    assert_eq!(health.fail(Observer::Session, later, &rules), None, "said once");
    assert!(!health.is_usable(later, &rules), "it rests again");
    assert_eq!(health.pass(Observer::Session, later + EVERY, &rules), Some(Change::Up));
    assert!(health.is_up());
}

#[test]
fn a_server_that_came_back_grows_to_its_share() {
    let (rules, now) = (checked(), Instant::now());
    let mut health = Health::default();
    assert_eq!(health.share(now, &rules), FULL_SHARE, "nothing is held back at start");
    for _ in 0..3 {
        health.fail(Observer::Check, now, &rules);
    }
    for _ in 0..2 {
        health.pass(Observer::Check, now, &rules);
    }
    assert_eq!(health.share(now, &rules), 1);
    assert_eq!(health.share(now + EVERY * 5, &rules), FULL_SHARE / 2);
    assert_eq!(health.share(now + EVERY * 10, &rules), FULL_SHARE);
    assert_eq!(health.share(now + EVERY * 1000, &rules), FULL_SHARE);
    let hasty = Rules::new(&Check { kind: CheckKind::Tcp, every: Duration::from_secs(1), fall: 1, rise: 1 });
    assert_eq!(hasty.ramp, RAMP_MIN);
}

proptest! {
    /// Changes alternate, so that each is logged once.
    #[test]
    fn a_change_is_never_told_twice(events in prop::collection::vec((any::<bool>(), any::<bool>()), 0..200)) {
        let (rules, now) = (checked(), Instant::now());
        let mut health = Health::default();
        let mut is_up = true;
        for (is_good, by_check) in events {
            let observer = if by_check { Observer::Check } else { Observer::Session };
            let change = if is_good { health.pass(observer, now, &rules) } else { health.fail(observer, now, &rules) };
            match change {
                Some(Change::Down) => { prop_assert!(is_up && !is_good); is_up = false; }
                Some(Change::Up) => { prop_assert!(!is_up && is_good); is_up = true; }
                None => {}
            }
            prop_assert_eq!(health.is_up(), is_up);
        }
    }
}
