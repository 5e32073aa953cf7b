use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 8] =
    ["10.0.0.1:21", "10.0.0.2:21", "10.0.0.3:21", "ftp.example:21", "[::1]:990", "a:21", "b:21", "c:21"];
const BALANCES: [Balance; 5] =
    [Balance::RoundRobin, Balance::LeastSessions, Balance::SourceHash, Balance::UserHash, Balance::First];

fn idle(name: &str, weight: u64) -> Candidate<'_> {
    Candidate {
        name,
        share: weight * FULL_SHARE,
        sessions: 0,
        is_up: true,
        is_unchecked: false,
        is_full: false,
        is_backup: false,
        is_tried: false,
        failed_at: None,
        credit: 0,
    }
}

fn key(user: &[u8]) -> Key<'_> {
    Key { client: IpAddr::from([203, 0, 113, 9]), user }
}

fn weighted(weights: &[u64]) -> Vec<Candidate<'static>> {
    weights.iter().zip(NAMES).map(|(&weight, name)| idle(name, weight)).collect()
}

fn server(choice: Choice) -> usize {
    match choice {
        Choice::Server(index) => index,
        other => panic!("no server: {other:?}"),
    }
}

prop_compose! {
    fn any_candidate(name: &'static str)(
        weight in 1u64..=256,
        ramp in 1u64..=FULL_SHARE,
        sessions in 0usize..100,
        (is_up, is_unchecked, is_full, is_backup, is_tried) in any::<(bool, bool, bool, bool, bool)>(),
        failed in proptest::option::of(0u64..1000),
        credit in -1_000_000i64..1_000_000,
    ) -> Candidate<'static> {
        let origin = *ORIGIN;
        let failed_at = failed.map(|seconds| origin + Duration::from_secs(seconds));
        let share = (weight * ramp).max(1);
        Candidate {
            name, share, sessions, is_up, is_unchecked, is_full, is_backup, is_tried, failed_at, credit
        }
    }
}

static ORIGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

fn any_candidates() -> impl Strategy<Value = Vec<Candidate<'static>>> {
    (1..=NAMES.len())
        .prop_flat_map(|count| NAMES[..count].iter().map(|name| any_candidate(name)).collect::<Vec<_>>())
}

proptest! {
    /// Whatever the state of all servers, and whatever was tried.
    #[test]
    fn a_down_server_is_never_chosen_while_another_is_up(
        mut candidates in any_candidates(), balance in 0..BALANCES.len(), user in any::<Vec<u8>>(),
    ) {
        let choice = choose(BALANCES[balance], &mut candidates, key(&user));
        let is_any_up = candidates.iter().any(|candidate| candidate.is_up);
        let chosen = match choice {
            Choice::Server(index) => {
                prop_assert!(!candidates[index].is_full);
                vec![index]
            }
            Choice::Full(indices) => {
                prop_assert!(indices.iter().all(|&index| candidates[index].is_full));
                prop_assert!(!indices.is_empty());
                indices
            }
            Choice::Nobody => {
                let is_out = |one: &Candidate<'_>| !one.is_up && (is_any_up || !one.is_unchecked);
                prop_assert!(candidates.iter().all(|one| one.is_tried || is_out(one)));
                vec![]
            }
        };
        for index in chosen {
            prop_assert!(!candidates[index].is_tried);
            prop_assert!(candidates[index].is_up || (!is_any_up && candidates[index].is_unchecked));
        }
    }

    #[test]
    fn a_backup_is_chosen_only_where_no_primary_can_serve(
        mut candidates in any_candidates(), balance in 0..BALANCES.len(),
    ) {
        let chosen = match choose(BALANCES[balance], &mut candidates, key(b"u")) {
            Choice::Server(index) => vec![index],
            Choice::Full(indices) => indices,
            Choice::Nobody => vec![],
        };
        let is_any_up = candidates.iter().any(|one| one.is_up);
        if is_any_up && chosen.iter().any(|&index| candidates[index].is_backup) {
            prop_assert!(candidates.iter().all(|one| one.is_backup || !one.is_up || one.is_tried));
        }
    }

    #[test]
    fn among_servers_without_checks_the_one_that_failed_longest_ago_is_tried(
        mut candidates in any_candidates(), balance in 0..BALANCES.len(),
    ) {
        for candidate in &mut candidates {
            candidate.is_up = false;
            candidate.is_unchecked = true;
            candidate.is_full = false;
        }
        match choose(BALANCES[balance], &mut candidates, key(b"u")) {
            Choice::Server(chosen) => prop_assert!(candidates
                .iter()
                .all(|one| one.is_tried || one.failed_at >= candidates[chosen].failed_at)),
            Choice::Full(_) => prop_assert!(false, "none is full"),
            Choice::Nobody => prop_assert!(candidates.iter().all(|one| one.is_tried)),
        }
    }

    /// In every window of one round, each server gets exactly its weight.
    #[test]
    fn a_round_of_the_rotation_gives_each_server_its_weight(weights in prop::collection::vec(1u64..=12, 1..=6)) {
        let mut candidates = weighted(&weights);
        for _ in 0..3 {
            let mut counts = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                counts[server(choose(Balance::RoundRobin, &mut candidates, key(b"")))] += 1;
            }
            prop_assert_eq!(&counts, &weights);
        }
    }

    /// Sessions that stay: no server is more than one session away from its share.
    #[test]
    fn sessions_that_stay_are_spread_by_weight(
        weights in prop::collection::vec(1u64..=12, 1..=6), total in 1usize..300,
    ) {
        let mut candidates = weighted(&weights);
        for _ in 0..total {
            let index = server(choose(Balance::LeastSessions, &mut candidates, key(b"")));
            candidates[index].sessions += 1;
        }
        let sum: u64 = weights.iter().sum();
        for (candidate, weight) in candidates.iter().zip(&weights) {
            let fair = total as f64 * *weight as f64 / sum as f64;
            let weight = *weight as f64;
            prop_assert!(candidate.sessions as f64 <= fair + weight.max(1.0) + 1.0, "{:?}", candidates);
            prop_assert!(candidate.sessions as f64 >= fair - weight - 1.0, "{:?}", candidates);
        }
    }

    /// Sessions of which none stays: by weight as well, and not all on one server.
    #[test]
    fn short_sessions_are_spread_by_weight(weights in prop::collection::vec(1u64..=12, 1..=6)) {
        let mut candidates = weighted(&weights);
        let mut counts = vec![0; weights.len()];
        for _ in 0..weights.iter().sum() {
            counts[server(choose(Balance::LeastSessions, &mut candidates, key(b"")))] += 1;
        }
        prop_assert_eq!(&counts, &weights);
    }

    /// Nobody else's users are moved.
    #[test]
    fn a_server_that_goes_moves_only_its_own_keys(
        weights in prop::collection::vec(1u64..=12, 2..=6), gone in any::<prop::sample::Index>(),
        users in prop::collection::vec(any::<Vec<u8>>(), 1..50),
    ) {
        let gone = gone.index(weights.len());
        for user in users {
            let mut candidates = weighted(&weights);
            let before = server(choose(Balance::UserHash, &mut candidates, key(&user)));
            candidates[gone].is_up = false;
            let after = server(choose(Balance::UserHash, &mut candidates, key(&user)));
            prop_assert!(before == gone || before == after);
            prop_assert_ne!(after, gone);
        }
    }

    /// A server that comes back takes keys, and the others exchange none.
    #[test]
    fn a_growing_share_only_attracts_keys(
        weights in prop::collection::vec(1u64..=12, 2..=6), back in any::<prop::sample::Index>(),
        client in any::<[u8; 4]>(), ramp in prop::collection::vec(1u64..=FULL_SHARE, 2),
    ) {
        let back = back.index(weights.len());
        let key = Key { client: IpAddr::from(client), user: b"" };
        let mut candidates = weighted(&weights);
        let (early, late) = (ramp[0].min(ramp[1]), ramp[0].max(ramp[1]));
        candidates[back].share = weights[back] * early;
        let before = server(choose(Balance::SourceHash, &mut candidates, key));
        candidates[back].share = weights[back] * late;
        let after = server(choose(Balance::SourceHash, &mut candidates, key));
        prop_assert!(after == before || after == back);
    }
}

#[test]
fn hashes_respect_weights() {
    let mut candidates = weighted(&[1, 2, 5]);
    let mut counts = [0u32; 3];
    for user in 0..8000u32 {
        counts[server(choose(Balance::UserHash, &mut candidates, key(&user.to_be_bytes())))] += 1;
    }
    for (count, weight) in counts.iter().zip([1, 2, 5]) {
        // Six standard deviations of 8000 draws.
        assert!(count.abs_diff(weight * 1000) < 270, "{counts:?}");
    }
}

/// Another value here would move every user of every gateway at an upgrade.
#[test]
fn hashes_are_the_same_in_every_version() {
    let mut candidates = weighted(&[1, 1, 1]);
    let users = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let chosen = users.map(|user| server(choose(Balance::UserHash, &mut candidates, key(user.as_bytes()))));
    assert_eq!(chosen, CHOSEN);
}

const CHOSEN: [usize; 6] = [1, 1, 1, 1, 0, 1];

#[test]
fn the_order_of_the_configuration_does_not_move_a_key() {
    let (mut one, mut other) = (weighted(&[1, 2, 3]), weighted(&[1, 2, 3]));
    other.reverse();
    let name = |candidates: &mut [Candidate<'static>], user: &[u8]| {
        let index = server(choose(Balance::UserHash, candidates, key(user)));
        candidates[index].name
    };
    for user in 0..100u32 {
        let user = user.to_be_bytes();
        assert_eq!(name(&mut one, &user), name(&mut other, &user));
    }
}

#[test]
fn first_stays_with_the_first_that_is_up() {
    let mut candidates = weighted(&[1, 1, 1]);
    assert_eq!(choose(Balance::First, &mut candidates, key(b"")), Choice::Server(0));
    candidates[0].is_up = false;
    assert_eq!(choose(Balance::First, &mut candidates, key(b"")), Choice::Server(1));
    candidates[1].is_full = true;
    assert_eq!(choose(Balance::First, &mut candidates, key(b"")), Choice::Server(2));
}

/// A full primary is waited for: a backup may hold yesterday's files.
#[test]
fn a_full_primary_does_not_call_for_the_backup() {
    let mut candidates = weighted(&[1, 1]);
    candidates[0].is_full = true;
    candidates[1].is_backup = true;
    assert_eq!(choose(Balance::LeastSessions, &mut candidates, key(b"")), Choice::Full(vec![0]));
    candidates[0].is_tried = true;
    assert_eq!(choose(Balance::LeastSessions, &mut candidates, key(b"")), Choice::Server(1));
}

#[test]
fn a_server_that_came_back_takes_load_gradually() {
    for balance in [Balance::RoundRobin, Balance::LeastSessions, Balance::UserHash] {
        let mut taken = BTreeMap::new();
        for ramp in [1, FULL_SHARE / 4, FULL_SHARE / 2, FULL_SHARE] {
            let mut candidates = weighted(&[1, 1]);
            candidates[1].share = ramp;
            let count = (0..1000u32)
                .filter(|user| server(choose(balance, &mut candidates, key(&user.to_be_bytes()))) == 1)
                .count();
            taken.insert(ramp, count);
        }
        let counts: Vec<usize> = taken.into_values().collect();
        assert!(counts.is_sorted() && counts[0] <= 10, "{balance:?} {counts:?}");
        assert!(
            (150..=250).contains(&counts[1]) && (450..=550).contains(&counts[3]),
            "{balance:?} {counts:?}"
        );
    }
}
