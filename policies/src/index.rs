//! Sets of rules, found by name or address: what makes a decision cost little with ten thousand rules.
//!
//! A rule is its number. Nothing here knows what a rule says.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

use aho_corasick::AhoCorasick;
use globset::GlobSet;
use ipnet::IpNet;

use crate::glob::Glob;

/// A set of numbers below a bound, one bit each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn none(bound: usize) -> Self {
        Self(vec![0; bound.div_ceil(64)])
    }

    pub(crate) fn all(bound: usize) -> Self {
        let mut bits = Self(vec![u64::MAX; bound.div_ceil(64)]);
        if !bound.is_multiple_of(64)
            && let Some(last) = bits.0.last_mut()
        {
            *last = (1 << (bound % 64)) - 1;
        }
        bits
    }

    pub(crate) fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    pub(crate) fn union(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    pub(crate) fn intersect(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    /// Keeps what is in the second set, and what is not in the first.
    pub(crate) fn narrow(&mut self, asked: &Bits, hits: &Bits) {
        let words = self.0.iter_mut().zip(asked.0.iter().zip(&hits.0));
        words.for_each(|(word, (asked, hits))| *word &= !asked | hits);
    }

    /// In rising order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            std::iter::successors(Some(word), |word| Some(word & word.wrapping_sub(1)))
                .take_while(|&word| word != 0)
                .map(move |word| index * 64 + word.trailing_zeros() as usize)
        })
    }
}

/// A set as it is stored many times over: small ones cost little.
#[derive(Debug, Clone)]
pub(crate) enum IdSet {
    Few(Vec<u32>),
    Many(Bits),
}

impl Default for IdSet {
    fn default() -> Self {
        IdSet::Few(Vec::new())
    }
}

impl IdSet {
    pub(crate) fn from_numbers(mut numbers: Vec<u32>, bound: usize) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() <= bound / 64 + 4 {
            numbers.shrink_to_fit();
            return IdSet::Few(numbers);
        }
        let mut bits = Bits::none(bound);
        numbers.iter().for_each(|&number| bits.insert(number as usize));
        IdSet::Many(bits)
    }

    pub(crate) fn add_to(&self, bits: &mut Bits) {
        match self {
            IdSet::Few(numbers) => numbers.iter().for_each(|&number| bits.insert(number as usize)),
            IdSet::Many(other) => bits.union(other),
        }
    }
}

/// Who asks for which names. Literal names are looked up; patterns are asked only where their longest literal
/// part occurs, and those without such a part all at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameIndex {
    literals: HashMap<Vec<u8>, IdSet>,
    sieve: Sieve,
    sieved: Vec<(Glob, IdSet)>,
    others: GlobSets,
    of_other: Vec<IdSet>,
    /// Everybody who asks for some name.
    pub(crate) asked: Bits,
}

impl NameIndex {
    /// From each number's patterns; none: it asks for nothing.
    pub(crate) fn new<'a>(bound: usize, lists: impl Iterator<Item = &'a [Glob]>) -> Self {
        let mut asked = Bits::none(bound);
        let mut literals: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        let mut globs: HashMap<&str, (&Glob, Vec<u32>)> = HashMap::new();
        for (number, list) in lists.enumerate() {
            for glob in list {
                asked.insert(number);
                let number = u32::try_from(number).expect("rules are fewer than 2^32");
                if glob.is_literal() {
                    literals.entry(glob.as_str().as_bytes().to_vec()).or_default().push(number);
                } else {
                    globs.entry(glob.as_str()).or_insert_with(|| (glob, Vec::new())).1.push(number);
                }
            }
        }
        let (mut sieved, mut parts, mut others, mut of_other) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (text, (glob, numbers)) in globs {
            let set = IdSet::from_numbers(numbers, bound);
            match longest_literal(text) {
                Some(part) => {
                    parts.push(Some(part.to_owned()));
                    sieved.push((glob.clone(), set));
                }
                None => {
                    others.push(Glob::compile(text, false).expect("the text was compiled before"));
                    of_other.push(set);
                }
            }
        }
        let literals = literals.into_iter();
        Self {
            literals: literals.map(|(name, numbers)| (name, IdSet::from_numbers(numbers, bound))).collect(),
            sieve: Sieve::new(&parts),
            sieved,
            others: GlobSets::new(&others),
            of_other,
            asked,
        }
    }

    /// From each number's names, in which no character is special.
    pub(crate) fn of_literals<'a>(bound: usize, lists: impl Iterator<Item = &'a [String]>) -> Self {
        let mut asked = Bits::none(bound);
        let mut literals: HashMap<Vec<u8>, Vec<u32>> = HashMap::new();
        for (number, list) in lists.enumerate() {
            for name in list {
                asked.insert(number);
                let number = u32::try_from(number).expect("rules are fewer than 2^32");
                literals.entry(name.as_bytes().to_vec()).or_default().push(number);
            }
        }
        let literals = literals.into_iter();
        Self {
            literals: literals.map(|(name, numbers)| (name, IdSet::from_numbers(numbers, bound))).collect(),
            asked,
            ..Self::default()
        }
    }

    /// Adds everybody who asks for a name like this one.
    pub(crate) fn find(&self, name: &[u8], hits: &mut Bits) {
        if let Some(set) = self.literals.get(name) {
            set.add_to(hits);
        }
        self.sieve.find(name, |glob| {
            let (glob, set) = &self.sieved[glob];
            if glob.matches(name) {
                set.add_to(hits);
            }
        });
        self.others.find(name, |glob| self.of_other[glob].add_to(hits));
    }
}

/// The longest part of a glob's text that each name must hold; `None` where brackets, braces and backslashes
/// would need a closer look.
fn longest_literal(glob: &str) -> Option<&str> {
    if glob.contains(['[', ']', '{', '}', '\\']) {
        return None;
    }
    glob.split(['*', '?']).max_by_key(|part| part.len()).filter(|part| !part.is_empty())
}

/// Finds in one pass over a name which of many texts occur in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sieve {
    texts: Option<AhoCorasick>,
    /// Which numbers have each text.
    of_text: Vec<Vec<usize>>,
    /// Those without a text, which are always found.
    always: Vec<usize>,
}

impl Sieve {
    /// From each number's text.
    pub(crate) fn new(texts: &[Option<String>]) -> Self {
        let mut numbers: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut always = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            match text {
                Some(text) => numbers.entry(text).or_default().push(number),
                None => always.push(number),
            }
        }
        let (texts, of_text): (Vec<&str>, Vec<Vec<usize>>) = numbers.into_iter().unzip();
        if texts.is_empty() {
            return Self { texts: None, of_text, always };
        }
        match AhoCorasick::new(&texts) {
            Ok(found) => Self { texts: Some(found), of_text, always },
            // Too many for it: then each is asked.
            Err(_) => Self {
                texts: None,
                of_text: Vec::new(),
                always: always.into_iter().chain(of_text.concat()).collect(),
            },
        }
    }

    /// Names every number whose text occurs, some of them more than once.
    pub(crate) fn find(&self, name: &[u8], mut hit: impl FnMut(usize)) {
        self.always.iter().for_each(|&number| hit(number));
        if let Some(texts) = &self.texts {
            for found in texts.find_overlapping_iter(name) {
                self.of_text[found.pattern().as_usize()].iter().for_each(|&number| hit(number));
            }
        }
    }
}

/// Globs that are asked together. One set of regular expressions has a bound of memory: past it there are more.
#[derive(Debug, Clone, Default)]
pub(crate) struct GlobSets(Vec<(usize, GlobSet)>);

impl GlobSets {
    pub(crate) fn new(globs: &[globset::Glob]) -> Self {
        let mut sets = Self::default();
        sets.add(0, globs);
        sets
    }

    fn add(&mut self, first: usize, globs: &[globset::Glob]) {
        let mut builder = GlobSet::builder();
        globs.iter().for_each(|glob| {
            builder.add(glob.clone());
        });
        match builder.build() {
            Ok(_) if globs.is_empty() => {}
            Ok(set) => self.0.push((first, set)),
            Err(_) => {
                let half = globs.len() / 2;
                assert!(half > 0, "each glob compiled alone");
                self.add(first, &globs[..half]);
                self.add(first + half, &globs[half..]);
            }
        }
    }

    /// Names each glob that matches, by its place in the list.
    pub(crate) fn find(&self, name: &[u8], mut hit: impl FnMut(usize)) {
        for (first, set) in &self.0 {
            set.matches(OsStr::from_bytes(name)).into_iter().for_each(|glob| hit(first + glob));
        }
    }
}

/// Who asks for which networks: the address space cut where some network begins or ends, so that one search
/// finds every network that holds an address.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkIndex {
    v4: Vec<(u128, IdSet)>,
    v6: Vec<(u128, IdSet)>,
    /// Everybody who asks for some network.
    pub(crate) asked: Bits,
}

impl NetworkIndex {
    pub(crate) fn new<'a>(bound: usize, lists: impl Iterator<Item = &'a [IpNet]>) -> Self {
        let mut asked = Bits::none(bound);
        let mut networks: [Vec<(IpNet, u32)>; 2] = Default::default();
        for (number, list) in lists.enumerate() {
            for &network in list {
                asked.insert(number);
                let network = canonical_network(network);
                let number = u32::try_from(number).expect("rules are fewer than 2^32");
                networks[usize::from(matches!(network, IpNet::V6(_)))].push((network, number));
            }
        }
        let [v4, v6] = networks.map(|networks| segments(networks, bound));
        Self { v4, v6, asked }
    }

    /// Adds everybody who asks for a network that holds the address.
    pub(crate) fn find(&self, address: IpAddr, hits: &mut Bits) {
        let (table, address) = match address.to_canonical() {
            IpAddr::V4(address) => (&self.v4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (&self.v6, address.to_bits()),
        };
        let above = table.partition_point(|&(begin, _)| begin <= address);
        if let Some((_, set)) = above.checked_sub(1).and_then(|index| table.get(index)) {
            set.add_to(hits);
        }
    }
}

/// A network of IPv4-mapped addresses as the IPv4 network that it is.
pub(crate) fn canonical_network(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match IpAddr::V6(v6.network()).to_canonical() {
            IpAddr::V4(v4) => ipnet::Ipv4Net::new(v4, v6.prefix_len() - 96).map_or(network, IpNet::V4),
            IpAddr::V6(_) => network,
        },
        IpNet::V4(_) | IpNet::V6(_) => network,
    }
}

/// Whether a network holds an address, both in their canonical form.
pub(crate) fn holds(network: IpNet, address: IpAddr) -> bool {
    canonical_network(network).contains(&address.to_canonical())
}

/// Where each stretch of addresses begins, and which networks hold all of it.
fn segments(mut networks: Vec<(IpNet, u32)>, bound: usize) -> Vec<(u128, IdSet)> {
    let begin = |network: &IpNet| match network.network() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    let last = |network: &IpNet| match network.broadcast() {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    // Wider networks first: two networks are nested or apart, so a stack holds those that are open.
    networks.sort_by_key(|(network, _)| (begin(network), network.prefix_len()));
    let mut table: Vec<(u128, IdSet)> = Vec::new();
    let mut open: Vec<(u128, u32)> = Vec::new();
    let put = |at: u128, open: &[(u128, u32)], table: &mut Vec<(u128, IdSet)>| {
        let set = IdSet::from_numbers(open.iter().map(|&(_, number)| number).collect(), bound);
        match table.last_mut() {
            Some((begin, last)) if *begin == at => *last = set,
            Some(_) | None => table.push((at, set)),
        }
    };
    let close_until = |limit: Option<u128>, open: &mut Vec<(u128, u32)>, table: &mut Vec<(u128, IdSet)>| {
        while let Some(&(end, _)) = open.last().filter(|(end, _)| limit.is_none_or(|limit| *end < limit)) {
            while open.last().is_some_and(|&(other, _)| other == end) {
                open.pop();
            }
            if let Some(after) = end.checked_add(1) {
                put(after, open, table);
            }
        }
    };
    for (network, number) in &networks {
        close_until(Some(begin(network)), &mut open, &mut table);
        open.push((last(network), *number));
        put(begin(network), &open, &mut table);
    }
    close_until(None, &mut open, &mut table);
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bits_are_a_set() {
        let mut bits = Bits::none(130);
        for number in [0, 63, 64, 129] {
            bits.insert(number);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert!(bits.contains(64) && !bits.contains(65) && !bits.contains(1_000));
        assert_eq!(Bits::all(130).iter().count(), 130);
        assert_eq!(Bits::all(128).iter().count(), 128);
    }

    #[test]
    fn names_are_found_literally_and_by_pattern() {
        let lists = [&["anna", "b*"][..], &["*"], &[], &["bob"]]
            .map(|list| list.iter().map(|text| Glob::exact_case(text).unwrap()).collect::<Vec<_>>());
        let index = NameIndex::new(4, lists.iter().map(Vec::as_slice));
        let find = |name: &str| {
            let mut hits = Bits::none(4);
            index.find(name.as_bytes(), &mut hits);
            hits.iter().collect::<Vec<_>>()
        };
        assert_eq!(find("anna"), [0, 1]);
        assert_eq!(find("bob"), [0, 1, 3]);
        assert_eq!(find("eve"), [1]);
        assert!(!index.asked.contains(2));
    }

    fn find(index: &NetworkIndex, bound: usize, address: IpAddr) -> Vec<usize> {
        let mut hits = Bits::none(bound);
        index.find(address, &mut hits);
        hits.iter().collect()
    }

    #[test]
    fn networks_are_found_at_their_ends_and_as_mapped_ones() {
        let networks: Vec<Vec<IpNet>> =
            ["0.0.0.0/0", "255.255.255.255/32", "::/0", "::ffff:10.0.0.0/104", "10.0.0.0/8"]
                .iter()
                .map(|text| vec![text.parse().unwrap()])
                .collect();
        let index = NetworkIndex::new(5, networks.iter().map(Vec::as_slice));
        assert_eq!(find(&index, 5, "255.255.255.255".parse().unwrap()), [0, 1]);
        assert_eq!(find(&index, 5, "::ffff:10.9.9.9".parse().unwrap()), [0, 3, 4]);
        assert_eq!(find(&index, 5, "11.0.0.0".parse().unwrap()), [0]);
        assert_eq!(find(&index, 5, "ffff::".parse().unwrap()), [2]);
    }

    proptest! {
        #[test]
        fn the_table_finds_what_a_scan_finds(
            networks in proptest::collection::vec((any::<u32>(), 0..=32_u8), 0..20),
            near in proptest::collection::vec((0..20_usize, -1..=1_i64), 20),
        ) {
            // Few distinct bits, so that networks nest and touch.
            let networks: Vec<Vec<IpNet>> = networks
                .iter()
                .map(|&(bits, length)| {
                    let address = std::net::Ipv4Addr::from(bits & 0xE000_0007);
                    vec![IpNet::new(address.into(), length).unwrap()]
                })
                .collect();
            let index = NetworkIndex::new(networks.len(), networks.iter().map(Vec::as_slice));
            for (network, step) in near {
                let Some(network) = networks.get(network) else { continue };
                for end in [network[0].network(), network[0].broadcast()] {
                    let IpAddr::V4(end) = end else { unreachable!() };
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    let address = IpAddr::V4(std::net::Ipv4Addr::from((i64::from(end.to_bits()) + step) as u32));
                    let scan: Vec<usize> = (0..networks.len()).filter(|&n| holds(networks[n][0], address)).collect();
                    prop_assert_eq!(find(&index, networks.len(), address), scan);
                }
            }
        }
    }
}
