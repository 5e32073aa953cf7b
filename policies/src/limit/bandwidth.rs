//! Bytes per second: buckets that any number of transfers draw from at once, shared fairly.
//!
//! A transfer draws from several buckets (the gateway's, its user's, its address' …) and the tightest holds.
//! Whatever flows into the buckets is dealt out in rounds, to the transfers that have asked lately: like water that
//! rises alike for all siblings until somebody's vessel is full or a bucket is empty. Siblings are first the
//! backends, then a backend's users, and so on down to sessions, so a user with ten transfers gets no more than a
//! user with one. Who asks for less than its share leaves the rest to the others.
//!
//! Nothing waits here: a caller is told how long to. [`Grant`] is the whole answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::limit::Key;

/// Names a bucket: one limit's, for one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketId {
    /// The limit's name, which stays when its rate changes.
    pub limit: Arc<str>,
    /// Whose.
    pub key: Key,
}

/// Names a transfer that draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferId(u64);

/// What a transfer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Move so many bytes now, at least one.
    Bytes(u64),
    /// Ask again after that time.
    Wait(Duration),
}

/// All buckets of one direction.
#[derive(Debug, Default)]
pub struct Bandwidth {
    buckets: HashMap<BucketId, Bucket>,
    transfers: BTreeMap<TransferId, Transfer>,
    next_transfer: u64,
    shared_at: Duration,
}

#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    filled_at: Duration,
    /// Transfers that draw from it.
    members: usize,
}

#[derive(Debug)]
struct Transfer {
    /// From the outermost ancestor to the innermost: who is whose sibling.
    family: Vec<Key>,
    buckets: Vec<BucketId>,
    /// Dealt out and not yet drawn.
    credit: f64,
    /// It has its part in rounds until then.
    asking_until: Duration,
    /// What it may hold: its part of what the tightest of its buckets may. As of the last round.
    vessel: f64,
    /// Bytes per second that it gets while all siblings take their part. As of the last round.
    share_rate: f64,
}

impl Bandwidth {
    /// Adds a transfer. `family` says from the outside in what it is part of, usually its backend, user, address and
    /// session; `buckets` what it draws from, each with its rate in bytes per second. A bucket starts empty with its
    /// first transfer, and goes with its last.
    pub fn join(&mut self, family: Vec<Key>, buckets: Vec<(BucketId, u64)>, now: Duration) -> TransferId {
        self.next_transfer += 1;
        let id = TransferId(self.next_transfer);
        let buckets = self.enter(buckets, now);
        let (credit, asking_until, vessel, share_rate) = (0.0, Duration::ZERO, 1.0, 1.0);
        self.transfers.insert(id, Transfer { family, buckets, credit, asking_until, vessel, share_rate });
        id
    }

    /// Lets a transfer draw from other buckets: after a reload has brought limits, or taken some.
    pub fn rejoin(&mut self, id: TransferId, buckets: Vec<(BucketId, u64)>, now: Duration) {
        let entered = self.enter(buckets, now);
        let left = match self.transfers.get_mut(&id) {
            Some(transfer) => std::mem::replace(&mut transfer.buckets, entered),
            None => entered,
        };
        self.exit(&left);
    }

    /// The transfer is over.
    pub fn leave(&mut self, id: TransferId) {
        if let Some(transfer) = self.transfers.remove(&id) {
            self.exit(&transfer.buckets);
        }
    }

    /// Changes the rate of all buckets of a limit, in bytes per second, from now on.
    pub fn set_rate(&mut self, limit: &str, rate_bytes: u64, now: Duration) {
        for (_, bucket) in self.buckets.iter_mut().filter(|(id, _)| &*id.limit == limit) {
            bucket.fill(now);
            bucket.rate = bytes(rate_bytes.max(1));
            bucket.tokens = bucket.tokens.min(bucket.size());
        }
    }

    /// Asks for up to `want` bytes. Time may not run backwards; if it does, it stands still.
    pub fn request(&mut self, id: TransferId, want: u64, now: Duration) -> Grant {
        let Some(transfer) = self.transfers.get_mut(&id) else { return Grant::Bytes(want) };
        if transfer.buckets.is_empty() || want == 0 {
            return Grant::Bytes(want);
        }
        let was_asking = transfer.asking_until > now;
        transfer.asking_until = transfer.asking_until.max(now + ASKING_FOR);
        let wanted = transfer.enough().min(bytes(want));
        let transfer = &self.transfers[&id];
        let elapsed = now.saturating_sub(self.shared_at).as_secs_f64();
        let tokens = transfer.buckets.iter().map(|id| self.buckets[id].tokens).fold(f64::MAX, f64::min);
        // A round costs work for every transfer: only where it would give enough to this one.
        let may_gain = tokens + transfer.share_rate * elapsed;
        if !was_asking || (transfer.credit < wanted && transfer.credit + may_gain >= wanted) {
            self.share(now);
        }
        let elapsed = now.saturating_sub(self.shared_at).as_secs_f64();
        let transfer = self.transfers.get_mut(&id).expect("it was there a moment ago");
        if transfer.credit >= transfer.enough().min(bytes(want)) {
            let granted = transfer.credit.floor().min(bytes(want));
            transfer.credit -= granted;
            return Grant::Bytes(whole(granted));
        }
        let seconds = (transfer.vessel * PORTION - transfer.credit) / transfer.share_rate - elapsed;
        let wait = Duration::from_secs_f64(seconds.clamp(WAIT_MIN, WAIT_MAX));
        transfer.asking_until = transfer.asking_until.max(now + wait + ASKING_FOR);
        Grant::Wait(wait)
    }

    /// Gives back bytes that were granted and not moved.
    pub fn give_back(&mut self, id: TransferId, unused: u64) {
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.credit += bytes(unused);
        }
    }

    /// How many buckets there are.
    pub fn bucket_count(&self) -> usize {
        self.buckets.len()
    }

    fn enter(&mut self, buckets: Vec<(BucketId, u64)>, now: Duration) -> Vec<BucketId> {
        let mut entered = Vec::new();
        for (id, rate) in buckets {
            if entered.contains(&id) {
                continue;
            }
            let fresh = Bucket { rate: 0.0, tokens: 0.0, filled_at: now, members: 0 };
            let bucket = self.buckets.entry(id.clone()).or_insert(fresh);
            bucket.fill(now);
            bucket.rate = bytes(rate.max(1));
            bucket.members += 1;
            entered.push(id);
        }
        entered
    }

    fn exit(&mut self, buckets: &[BucketId]) {
        for id in buckets {
            if let Some(bucket) = self.buckets.get_mut(id) {
                bucket.members -= 1;
                if bucket.members == 0 {
                    self.buckets.remove(id);
                }
            }
        }
    }

    /// Lets time fill the buckets, and deals out what is in them.
    fn share(&mut self, now: Duration) {
        let now = self.shared_at.max(now);
        self.shared_at = now;
        self.buckets.values_mut().for_each(|bucket| bucket.fill(now));
        let asking = self.transfers.iter().filter(|(_, transfer)| transfer.is_asking(now));
        let mut thirsty: Vec<(TransferId, f64)> = asking.map(|(&id, _)| (id, 0.0)).collect();
        thirsty.sort_by(|(one, _), (other, _)| {
            self.transfers[one].family.cmp_by_key(&self.transfers[other].family)
        });
        self.measure(&mut thirsty);
        for _ in 0..ROUNDS_MAX {
            thirsty.retain(|(id, room)| {
                *room > DROP && self.transfers[id].buckets.iter().all(|id| self.buckets[id].tokens > DROP)
            });
            if thirsty.is_empty() {
                return;
            }
            self.rise(&mut thirsty);
        }
    }

    /// Finds each one's vessel, and the room in it.
    fn measure(&mut self, asking: &mut [(TransferId, f64)]) {
        let (weights, weight_of) = self.weights(asking);
        let mut parts = Vec::new();
        for ((id, _), weight) in asking.iter().zip(&weights) {
            let of_buckets = self.transfers[id].buckets.iter().map(|id| {
                let (bucket, part) = (&self.buckets[id], weight / weight_of[id]);
                (bucket.size() * part, bucket.rate * part)
            });
            let least = |one: (f64, f64), other: (f64, f64)| (one.0.min(other.0), one.1.min(other.1));
            parts.push(of_buckets.fold((f64::MAX, f64::MAX), least));
        }
        for ((id, room), (vessel, share_rate)) in asking.iter_mut().zip(parts) {
            let transfer = self.transfers.get_mut(id).expect("who asks is a transfer");
            transfer.vessel = vessel.max(1.0);
            transfer.share_rate = share_rate;
            *room = transfer.vessel - transfer.credit;
        }
    }

    /// How much of the water is each one's, and all of it in each bucket.
    fn weights(&self, asking: &[(TransferId, f64)]) -> (Vec<f64>, HashMap<&BucketId, f64>) {
        let families: Vec<&[Key]> =
            asking.iter().map(|(id, _)| self.transfers[id].family.as_slice()).collect();
        let mut weights = vec![1.0; asking.len()];
        weigh(&families, 0, 1.0, &mut weights);
        let mut weight_of: HashMap<&BucketId, f64> = HashMap::new();
        for ((id, _), weight) in asking.iter().zip(&weights) {
            for bucket in &self.transfers[id].buckets {
                *weight_of.entry(bucket).or_insert(0.0) += weight;
            }
        }
        (weights, weight_of)
    }

    /// Lets the water rise until the first vessel is full or the first bucket empty.
    fn rise(&mut self, thirsty: &mut [(TransferId, f64)]) {
        let (weights, weight_of) = self.weights(thirsty);
        let empties = weight_of.iter().map(|(&id, weight)| self.buckets[id].tokens / weight);
        let fills = thirsty.iter().zip(&weights).map(|((_, room), weight)| room / weight);
        let height = empties.chain(fills).fold(f64::MAX, f64::min);
        for ((id, room), weight) in thirsty.iter_mut().zip(&weights) {
            let drops = height * weight;
            *room -= drops;
            let transfer = self.transfers.get_mut(id).expect("who is thirsty is a transfer");
            transfer.credit += drops;
            for bucket in &transfer.buckets {
                let bucket = self.buckets.get_mut(bucket).expect("a bucket stays while it has members");
                bucket.tokens = (bucket.tokens - drops).max(0.0);
            }
        }
    }
}

impl Bucket {
    /// Lets time fill it.
    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = self.filled_at.max(now);
        self.tokens = (self.tokens + self.rate * elapsed).min(self.size());
    }

    fn size(&self) -> f64 {
        (self.rate * BUCKET_SECONDS).max(BUCKET_BYTES_MIN)
    }
}

impl Transfer {
    /// Who draws from no bucket asks for nothing.
    fn is_asking(&self, now: Duration) -> bool {
        self.asking_until >= now && !self.buckets.is_empty()
    }

    /// Small pieces cost more than they move. It waits for twice as much: so whoever wakes first deals out for all
    /// who wake soon after.
    fn enough(&self) -> f64 {
        (self.vessel * PORTION / 2.0).max(1.0)
    }
}

/// Splits a weight evenly among the siblings of each generation; families are sorted.
fn weigh(families: &[&[Key]], generation: usize, weight: f64, weights: &mut [f64]) {
    let same = |one: &&[Key], other: &&[Key]| {
        one.get(generation).is_some() && one.get(generation) == other.get(generation)
    };
    let siblings = families.chunk_by(same).count();
    let weight = weight / bytes_of(siblings);
    let mut begin = 0;
    for siblings in families.chunk_by(same) {
        let of_these = &mut weights[begin..begin + siblings.len()];
        match of_these {
            [one] => *one = weight,
            several => weigh(siblings, generation + 1, weight, several),
        }
        begin += siblings.len();
    }
}

/// Any order that keeps equal keys together will do.
trait OrderByKey {
    fn cmp_by_key(&self, other: &Self) -> std::cmp::Ordering;
}

impl OrderByKey for Vec<Key> {
    fn cmp_by_key(&self, other: &Self) -> std::cmp::Ordering {
        let ordinal = |key: &Key| match key {
            Key::Gateway => 0,
            Key::Listener(_) => 1,
            Key::Backend(_) => 2,
            Key::Address(_) => 3,
            Key::Network(_) => 4,
            Key::User(_) => 5,
            Key::Session(_) => 6,
        };
        let compare = |one: &Key, other: &Key| match (one, other) {
            (Key::Listener(one), Key::Listener(other)) | (Key::Backend(one), Key::Backend(other)) => {
                one.cmp(other)
            }
            (Key::Address(one), Key::Address(other)) => one.cmp(other),
            (Key::Network(one), Key::Network(other)) => one.cmp(other),
            (Key::User(one), Key::User(other)) => one.cmp(other),
            (Key::Session(one), Key::Session(other)) => one.cmp(other),
            (one, other) => ordinal(one).cmp(&ordinal(other)),
        };
        let unequal =
            self.iter().zip(other).map(|(one, other)| compare(one, other)).find(|order| order.is_ne());
        unequal.unwrap_or_else(|| self.len().cmp(&other.len()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates and pieces are far below 2^53 bytes")]
fn bytes(count: u64) -> f64 {
    count as f64
}

fn bytes_of(count: usize) -> f64 {
    bytes(count as u64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole, positive and was a u64"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

/// How much of a second a bucket holds.
const BUCKET_SECONDS: f64 = 0.020;
/// And no less than this, so that slow rates do not move single bytes.
const BUCKET_BYTES_MIN: f64 = 4096.0;
/// The part of its vessel that a transfer waits for: a quarter, 5 ms at most rates.
const PORTION: f64 = 0.25;
/// Who asked within this time is still there.
const ASKING_FOR: Duration = Duration::from_millis(50);
/// Less than this is nothing, in bytes.
const DROP: f64 = 1e-6;
/// In one dealing; what is left then is dealt out with the next.
const ROUNDS_MAX: usize = 16;
/// In seconds; timers are no finer.
const WAIT_MIN: f64 = 0.001;
/// In seconds; the rate may change meanwhile.
const WAIT_MAX: f64 = 1.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(limit: &str, key: Key) -> BucketId {
        BucketId { limit: limit.into(), key }
    }

    fn user(number: u8) -> Key {
        Key::User([number].into())
    }

    /// Transfers that move what they may, each no faster than its peer, on a clock that jumps from one to the next.
    struct World {
        bandwidth: Bandwidth,
        now: Duration,
        peers: Vec<Peer>,
    }

    struct Peer {
        id: TransferId,
        /// Bytes per second of its network.
        speed: f64,
        wakes_at: Duration,
        moved: u64,
    }

    impl World {
        fn new() -> Self {
            Self { bandwidth: Bandwidth::default(), now: Duration::from_secs(7), peers: Vec::new() }
        }

        fn join(&mut self, family: Vec<Key>, buckets: Vec<(BucketId, u64)>, speed: f64) {
            let id = self.bandwidth.join(family, buckets, self.now);
            self.peers.push(Peer { id, speed, wakes_at: self.now, moved: 0 });
        }

        /// What each moved within that time.
        fn run(&mut self, time: Duration) -> Vec<f64> {
            let end = self.now + time;
            let before: Vec<u64> = self.peers.iter().map(|peer| peer.moved).collect();
            loop {
                let peer = self.peers.iter_mut().min_by_key(|peer| peer.wakes_at).unwrap();
                if peer.wakes_at >= end {
                    break;
                }
                self.now = self.now.max(peer.wakes_at);
                match self.bandwidth.request(peer.id, 256 * 1024, self.now) {
                    Grant::Bytes(count) => {
                        assert!(count > 0);
                        peer.moved += count;
                        peer.wakes_at = self.now + Duration::from_secs_f64(bytes(count) / peer.speed);
                    }
                    Grant::Wait(wait) => peer.wakes_at = self.now + wait,
                }
            }
            self.now = end;
            self.peers
                .iter()
                .zip(before)
                .map(|(peer, before)| bytes(peer.moved - before) / time.as_secs_f64())
                .collect()
        }
    }

    fn assert_near(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual / expected - 1.0).abs() <= tolerance, "{actual:.0} is not {expected:.0}");
    }

    #[test]
    fn rates_hold_within_three_percent_and_siblings_share_them() {
        for rate in [10_000, 300_000, 20_000_000, 1_000_000_000_u64] {
            for siblings in [1, 7, 50_u8] {
                let mut world = World::new();
                for number in 0..siblings {
                    let buckets = vec![(bucket("all", Key::Gateway), rate)];
                    world.join(vec![user(number)], buckets, 4e9);
                }
                let time = if rate < 100_000 {
                    60
                } else if rate > 100_000_000 {
                    1
                } else {
                    5
                };
                let rates = world.run(Duration::from_secs(time));
                assert_near(rates.iter().sum(), bytes(rate), 0.03);
                let share = bytes(rate) / f64::from(siblings);
                rates.iter().for_each(|&one| assert_near(one, share, 0.10));
            }
        }
    }

    #[test]
    fn the_tightest_bucket_holds_and_what_it_leaves_is_lent() {
        let mut world = World::new();
        let all = || (bucket("all", Key::Gateway), 9_000_000);
        world.join(vec![user(1)], vec![all(), (bucket("one", user(1)), 1_000_000)], 1e9);
        world.join(vec![user(2)], vec![all()], 1e9);
        world.join(vec![user(3)], vec![all()], 1e9);
        let rates = world.run(Duration::from_secs(5));
        assert_near(rates[0], 1e6, 0.03);
        assert_near(rates[1], 4e6, 0.05);
        assert_near(rates[2], 4e6, 0.05);
    }

    #[test]
    fn what_a_slow_peer_leaves_is_lent() {
        let mut world = World::new();
        for (number, speed) in [(1, 500_000.0), (2, 1e9)] {
            world.join(vec![user(number)], vec![(bucket("all", Key::Gateway), 10_000_000)], speed);
        }
        let rates = world.run(Duration::from_secs(5));
        assert_near(rates[0], 500_000.0, 0.05);
        assert_near(rates[1], 9_500_000.0, 0.05);
    }

    #[test]
    fn many_transfers_of_one_user_are_one_sibling() {
        let mut world = World::new();
        for session in 0..9 {
            let owner = if session == 0 { user(1) } else { user(2) };
            let buckets = vec![(bucket("all", Key::Gateway), 8_000_000)];
            world.join(vec![owner, Key::Session(session)], buckets, 1e9);
        }
        let rates = world.run(Duration::from_secs(5));
        assert_near(rates[0], 4e6, 0.10);
        assert_near(rates[1..].iter().sum(), 4e6, 0.10);
    }

    #[test]
    fn a_rate_changes_while_transfers_run() {
        let mut world = World::new();
        for number in 0..4 {
            world.join(vec![user(number)], vec![(bucket("all", Key::Gateway), 20_000_000)], 1e9);
        }
        assert_near(world.run(Duration::from_secs(5)).iter().sum(), 20e6, 0.03);
        world.bandwidth.set_rate("all", 2_000_000, world.now);
        assert_near(world.run(Duration::from_secs(5)).iter().sum(), 2e6, 0.03);
        world.bandwidth.set_rate("all", 50_000_000, world.now);
        assert_near(world.run(Duration::from_secs(5)).iter().sum(), 50e6, 0.03);
    }

    #[test]
    fn limits_come_and_go_with_a_reload() {
        let mut world = World::new();
        world.join(vec![user(1)], vec![(bucket("one", user(1)), 1_000_000)], 1e7);
        world.run(Duration::from_secs(1));
        world.bandwidth.rejoin(world.peers[0].id, vec![(bucket("two", user(1)), 3_000_000)], world.now);
        assert_eq!(world.bandwidth.bucket_count(), 1);
        assert_near(world.run(Duration::from_secs(5))[0], 3e6, 0.03);
        world.bandwidth.rejoin(world.peers[0].id, Vec::new(), world.now);
        assert_near(world.run(Duration::from_secs(5))[0], 1e7, 0.05);
        world.bandwidth.leave(world.peers[0].id);
        assert_eq!((world.bandwidth.bucket_count(), world.bandwidth.transfers.len()), (0, 0));
    }

    #[test]
    fn a_bucket_starts_empty_and_never_bursts_beyond_its_size() {
        let mut world = World::new();
        world.join(vec![user(1)], vec![(bucket("all", Key::Gateway), 1_000_000)], 1e9);
        let id = world.peers[0].id;
        assert!(matches!(world.bandwidth.request(id, 1 << 20, world.now), Grant::Wait(_)));
        // Nobody asks for an hour: the bucket and one vessel are full, and no more.
        let later = world.now + Duration::from_secs(3600);
        let mut burst = 0;
        while let Grant::Bytes(count) = world.bandwidth.request(id, 1 << 20, later) {
            burst += count;
        }
        assert!((20_000..=40_000).contains(&burst), "{burst}");
    }

    #[test]
    fn what_was_not_moved_is_given_back() {
        let mut world = World::new();
        world.join(vec![user(1)], vec![(bucket("all", Key::Gateway), 1_000_000)], 1e9);
        let id = world.peers[0].id;
        let later = world.now + Duration::from_secs(1);
        let Grant::Bytes(first) = world.bandwidth.request(id, 10_000, later) else {
            panic!("the bucket is full")
        };
        world.bandwidth.give_back(id, first);
        assert_eq!(world.bandwidth.request(id, 10_000, later), Grant::Bytes(first));
    }

    #[test]
    fn who_sleeps_too_long_now_and_then_loses_little() {
        let mut world = World::new();
        world.join(vec![user(1)], vec![(bucket("all", Key::Gateway), 50_000_000)], 1e9);
        let mut moved = 0;
        let end = world.now + Duration::from_secs(5);
        while world.now < end {
            match world.bandwidth.request(world.peers[0].id, 256 * 1024, world.now) {
                Grant::Bytes(count) => moved += count,
                // A timer that is 10 ms late, always.
                Grant::Wait(wait) => world.now += wait + Duration::from_millis(10),
            }
        }
        assert_near(bytes(moved) / 5.0, 50e6, 0.03);
    }

    #[test]
    fn a_clock_that_steps_back_stands_still() {
        let mut world = World::new();
        world.join(vec![user(1)], vec![(bucket("all", Key::Gateway), 1_000_000)], 1e9);
        let id = world.peers[0].id;
        let _ = world.bandwidth.request(id, 1, Duration::from_secs(100));
        assert!(matches!(
            world.bandwidth.request(id, 1 << 20, Duration::ZERO),
            Grant::Bytes(_) | Grant::Wait(_)
        ));
    }
}
