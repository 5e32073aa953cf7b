//! Which server a session gets: pure functions over a snapshot of the servers.
//!
//! Nothing here knows sockets, clocks or locks; what a choice changes (whose turn it is) stands in the snapshot.
//! Weighted rendezvous hashing is by Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005); the smooth
//! weighted rotation is nginx's.

use std::net::IpAddr;

use aws_lc_rs::digest;
use tokio::time::Instant;

use crate::config::Balance;

/// One server at the moment of a choice.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// What hashes go by; it must not change while the server is the same.
    pub name: &'a str,
    /// Its weight times [`FULL_SHARE`]; less while it has just come back. At least 1.
    pub share: u64,
    /// Sessions that it has.
    pub sessions: usize,
    /// Not known to be down.
    pub is_up: bool,
    /// No check looks after it: that it is down is only what sessions met with.
    pub is_unchecked: bool,
    /// It has as many sessions as it may have.
    pub is_full: bool,
    /// It serves only where no other can.
    pub is_backup: bool,
    /// This login has tried it before.
    pub is_tried: bool,
    /// When it failed last.
    pub failed_at: Option<Instant>,
    /// What it is owed by the rotation; written by [`choose`].
    pub credit: i64,
}

/// What hashes go by.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The client's address, canonical.
    pub client: IpAddr,
    /// The user name that the server will see.
    pub user: &'a [u8],
}

/// The outcome of a choice; numbers are indices of candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// This one.
    Server(usize),
    /// One of these as soon as it has room.
    Full(Vec<usize>),
    /// No server is left that may be tried.
    Nobody,
}

/// Chooses a server.
///
/// A server that its checks found down is never chosen: a client is better told so than led to a server that can list and
/// send nothing. One that no check looks after has only been met with by sessions; where no server is up, sessions go on
/// trying such ones, the one whose last failure is the longest ago first. A primary that is full is waited for; backups are for primaries that are down or were tried in vain.
pub fn choose(balance: Balance, candidates: &mut [Candidate<'_>], key: Key<'_>) -> Choice {
    let is_any_up = candidates.iter().any(|candidate| candidate.is_up);
    let usable = if is_any_up { usable(candidates) } else { unchecked(candidates) };
    if usable.is_empty() {
        return Choice::Nobody;
    }
    let free: Vec<usize> = usable.iter().copied().filter(|&index| !candidates[index].is_full).collect();
    let chosen = if is_any_up {
        match balance {
            Balance::RoundRobin => rotate(candidates, &free),
            Balance::LeastSessions => least_sessions(candidates, &free),
            Balance::SourceHash => match key.client {
                IpAddr::V4(address) => rendezvous(candidates, &free, &address.octets()),
                IpAddr::V6(address) => rendezvous(candidates, &free, &address.octets()),
            },
            Balance::UserHash => rendezvous(candidates, &free, key.user),
            Balance::First => free.first().copied(),
        }
    } else {
        free.iter().copied().min_by_key(|&index| candidates[index].failed_at)
    };
    chosen.map_or(Choice::Full(usable), Choice::Server)
}

/// Primaries that are up and untried; backups, where there is none.
fn usable(candidates: &[Candidate<'_>]) -> Vec<usize> {
    let of = |is_backup| {
        let indices = candidates.iter().enumerate().filter(move |(_, candidate)| {
            candidate.is_up && !candidate.is_tried && candidate.is_backup == is_backup
        });
        indices.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let primaries = of(false);
    if primaries.is_empty() { of(true) } else { primaries }
}

fn unchecked(candidates: &[Candidate<'_>]) -> Vec<usize> {
    let may_serve = |candidate: &Candidate<'_>| candidate.is_unchecked && !candidate.is_tried;
    let indices = candidates.iter().enumerate().filter(|(_, candidate)| may_serve(candidate));
    indices.map(|(index, _)| index).collect()
}

/// Smooth weighted round-robin: each turn everyone earns its share, and who has most pays for all.
fn rotate(candidates: &mut [Candidate<'_>], among: &[usize]) -> Option<usize> {
    let mut total = 0;
    for &index in among {
        let share = signed(candidates[index].share);
        candidates[index].credit = candidates[index].credit.saturating_add(share);
        total += share;
    }
    // Of equals the first: `max_by_key` would take the last.
    let chosen = among.iter().copied().rev().max_by_key(|&index| candidates[index].credit)?;
    candidates[chosen].credit = candidates[chosen].credit.saturating_sub(total);
    Some(chosen)
}

/// The fewest sessions for its share; equals take turns, or an idle gateway would use one server alone.
fn least_sessions(candidates: &mut [Candidate<'_>], among: &[usize]) -> Option<usize> {
    let is_busier = |one: &Candidate<'_>, other: &Candidate<'_>| {
        wide(one.sessions) * u128::from(other.share) > wide(other.sessions) * u128::from(one.share)
    };
    let idlest: Vec<usize> = among
        .iter()
        .copied()
        .filter(|&index| among.iter().all(|&other| !is_busier(&candidates[index], &candidates[other])))
        .collect();
    rotate(candidates, &idlest)
}

/// Every server draws a lot for the key, and the highest wins: a server that goes gives away its own keys, and takes
/// none of the others' with it; one whose share grows takes keys and gives none.
fn rendezvous(candidates: &[Candidate<'_>], among: &[usize], key: &[u8]) -> Option<usize> {
    let lot = |index: usize| {
        let candidate = &candidates[index];
        #[allow(clippy::cast_precision_loss)]
        let share = candidate.share as f64;
        -share / fraction(candidate.name, key).ln()
    };
    among.iter().copied().max_by(|&one, &other| lot(one).total_cmp(&lot(other)))
}

/// Evenly distributed between 0 and 1, both excluded. The same in every process and version: gateways beside each
/// other choose alike.
fn fraction(name: &str, key: &[u8]) -> f64 {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(name.as_bytes());
    hash.update(&[0]);
    hash.update(key);
    let hash = hash.finish();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_ref()[..8]);
    // 52 bits: with half a step more they are still exact, and below 1.
    #[allow(clippy::cast_precision_loss)]
    let steps = (u64::from_be_bytes(bytes) >> 12) as f64;
    (steps + 0.5) / (1u64 << 52) as f64
}

fn signed(share: u64) -> i64 {
    i64::try_from(share).unwrap_or(i64::MAX / 1024)
}

fn wide(sessions: usize) -> u128 {
    u128::try_from(sessions).unwrap_or(u128::MAX >> 64)
}

/// The share of a server of weight 1 that takes its full load.
pub const FULL_SHARE: u64 = 1024;

#[cfg(test)]
mod tests;
