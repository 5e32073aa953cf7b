//! All path patterns of a policy as one automaton over components: a path is walked once, however many patterns.
//!
//! Equal beginnings share nodes, literal components are looked up, and the many globs of one directory are
//! sieved by the texts that they hold before each is asked. It agrees with `pattern`, which asks one pattern at a time.

use std::collections::HashMap;

use crate::index::{Bits, IdSet, Sieve};
use crate::pattern::{Component, Token, matches_name};

/// Patterns, each owned by a number (a rule's).
#[derive(Debug, Clone)]
pub(crate) struct Automaton {
    nodes: Vec<Node>,
}

/// Where a path leads.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    nodes: &'a [Node],
    active: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    literals: HashMap<Box<str>, u32>,
    /// `*`.
    any: Option<u32>,
    globs: Vec<(Vec<Token>, u32)>,
    /// Which of the globs may match; asked only where they are many.
    sieve: Option<Sieve>,
    /// Globs that hold `$user`.
    users: Vec<(Vec<Token>, u32)>,
    /// Behind `**`: reached from here without a component.
    behind_any: Option<u32>,
    /// Whether each component leads back here.
    is_loop: bool,
    /// Whose pattern ends here.
    accepts: IdSet,
    /// Whose pattern ends here or behind here.
    reaches: IdSet,
}

impl Automaton {
    pub(crate) fn new<'a>(bound: usize, patterns: impl Iterator<Item = (usize, &'a [Component])>) -> Self {
        let mut nodes = vec![Node::default()];
        let mut ends: Vec<Vec<u32>> = vec![Vec::new()];
        let mut passes: Vec<Vec<u32>> = vec![Vec::new()];
        for (owner, pattern) in patterns {
            let owner = u32::try_from(owner).expect("rules are fewer than 2^32");
            let mut at = 0;
            passes[0].push(owner);
            for component in pattern {
                at = step(&mut nodes, at, component);
                ends.resize_with(nodes.len(), Vec::new);
                passes.resize_with(nodes.len(), Vec::new);
                passes[at].push(owner);
            }
            ends[at].push(owner);
        }
        for (node, (ends, passes)) in nodes.iter_mut().zip(ends.into_iter().zip(passes)) {
            node.accepts = IdSet::from_numbers(ends, bound);
            node.reaches = IdSet::from_numbers(passes, bound);
            if node.globs.len() >= GLOBS_UNSIEVED_MAX {
                node.sieve = Some(sieve(&node.globs));
            }
        }
        Self { nodes }
    }

    /// Walks the components of a path.
    pub(crate) fn walk<'a>(&self, names: impl Iterator<Item = &'a str>, user: Option<&str>) -> Walk<'_> {
        let mut active = Vec::new();
        let mut next = Vec::new();
        self.enter(0, &mut active);
        for name in names {
            for &at in &active {
                let node = &self.nodes[at as usize];
                if node.is_loop {
                    next.push(at);
                }
                if let Some(&child) = node.literals.get(name) {
                    self.enter(child, &mut next);
                }
                if let Some(child) = node.any {
                    self.enter(child, &mut next);
                }
                match &node.sieve {
                    None => {
                        for (tokens, child) in &node.globs {
                            if matches_name(tokens, name, None) {
                                self.enter(*child, &mut next);
                            }
                        }
                    }
                    Some(sieve) => sieve.find(name.as_bytes(), |glob| {
                        let (tokens, child) = &node.globs[glob];
                        if matches_name(tokens, name, None) {
                            self.enter(*child, &mut next);
                        }
                    }),
                }
                for (tokens, child) in &node.users {
                    if matches_name(tokens, name, user) {
                        self.enter(*child, &mut next);
                    }
                }
            }
            // Two ways to one node lead on alike; without this they would multiply.
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut active, &mut next);
            next.clear();
            if active.is_empty() {
                break;
            }
        }
        Walk { nodes: &self.nodes, active }
    }

    fn enter(&self, node: u32, active: &mut Vec<u32>) {
        active.push(node);
        if let Some(behind) = self.nodes[node as usize].behind_any {
            self.enter(behind, active);
        }
    }
}

impl Walk<'_> {
    /// Adds the owners of patterns that match the path.
    pub(crate) fn matches(&self, hits: &mut Bits) {
        self.active.iter().for_each(|&at| self.nodes[at as usize].accepts.add_to(hits));
    }

    /// Adds the owners of patterns that match the path, or may match something below it.
    pub(crate) fn reaches(&self, hits: &mut Bits) {
        self.active.iter().for_each(|&at| self.nodes[at as usize].reaches.add_to(hits));
    }

    /// Adds the owners of patterns that match the path and everything below it.
    pub(crate) fn covers(&self, hits: &mut Bits) {
        let loops = self.active.iter().map(|&at| &self.nodes[at as usize]).filter(|node| node.is_loop);
        loops.for_each(|node| node.accepts.add_to(hits));
    }
}

/// The node behind a component, which is made if there is none.
fn step(nodes: &mut Vec<Node>, at: usize, component: &Component) -> usize {
    let fresh = u32::try_from(nodes.len()).expect("nodes are fewer than 2^32");
    let node = &mut nodes[at];
    let next = match component {
        Component::Any => *node.behind_any.get_or_insert(fresh),
        Component::Name(tokens) => match tokens.as_slice() {
            [Token::Literal(text)] => *node.literals.entry(text.as_str().into()).or_insert(fresh),
            [Token::Star] => *node.any.get_or_insert(fresh),
            several => {
                let globs = if several.contains(&Token::User) { &mut node.users } else { &mut node.globs };
                match globs.iter().find(|(tokens, _)| tokens == several) {
                    Some(&(_, child)) => child,
                    None => {
                        globs.push((several.to_vec(), fresh));
                        fresh
                    }
                }
            }
        },
    };
    if next == fresh {
        nodes.push(Node { is_loop: *component == Component::Any, ..Node::default() });
    }
    next as usize
}

/// Finds each glob that may match by the longest text that it asks for.
fn sieve(globs: &[(Vec<Token>, u32)]) -> Sieve {
    let longest = |tokens: &Vec<Token>| {
        let texts = tokens.iter().filter_map(|token| match token {
            Token::Literal(text) => Some(text.clone()),
            Token::Star | Token::One | Token::Class { .. } | Token::User => None,
        });
        texts.max_by_key(String::len)
    };
    Sieve::new(&globs.iter().map(|(tokens, _)| longest(tokens)).collect::<Vec<_>>())
}

/// From here on, one search is faster than each glob alone.
const GLOBS_UNSIEVED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::path::{CanonicalPath, PathProfile};
    use crate::pattern::{PathPattern, UserName};

    fn automaton(patterns: &[PathPattern]) -> Automaton {
        let choices = patterns.iter().enumerate();
        let choices =
            choices.flat_map(|(owner, pattern)| pattern.exact.iter().map(move |one| (owner, one.as_slice())));
        Automaton::new(patterns.len(), choices)
    }

    fn numbers(count: usize, add: impl Fn(&mut Bits)) -> Vec<usize> {
        let mut hits = Bits::none(count);
        add(&mut hits);
        hits.iter().collect()
    }

    #[test]
    fn many_globs_of_one_directory_are_sieved_alike() {
        let patterns: Vec<PathPattern> = (0..50)
            .flat_map(|n| [format!("/in/?{n}*.csv"), format!("/in/[a-z]{n}\\**"), format!("/in/x{n}*")])
            .map(|text| PathPattern::parse(&text).unwrap())
            .collect();
        let automaton = automaton(&patterns);
        assert!(automaton.nodes.iter().any(|node| node.sieve.is_some()));
        for text in ["/in/é7.csv", "/in/a7*", "/in/a7", "/in/x49.csv", "/in/x", "/in"] {
            let path = CanonicalPath::resolve(PathProfile::Unix, None, text.as_bytes()).unwrap();
            let scan: Vec<usize> =
                (0..patterns.len()).filter(|&n| patterns[n].matches(&path, None)).collect();
            let walk = automaton.walk(path.components(), None);
            assert_eq!(numbers(patterns.len(), |hits| walk.matches(hits)), scan, "{text}");
        }
    }

    #[test]
    fn ways_to_one_node_do_not_multiply() {
        let pattern = PathPattern::parse(&"/**/a".repeat(12)).unwrap();
        let automaton = automaton(&[pattern]);
        let walk = automaton.walk(["a"; 200].into_iter(), None);
        assert!(walk.active.len() <= automaton.nodes.len());
        assert_eq!(numbers(1, |hits| walk.matches(hits)), [0]);
    }

    proptest! {
        #[test]
        fn the_automaton_finds_what_a_scan_finds(
            patterns in proptest::collection::vec("(/(a|b|\\*|\\*\\*|a\\*|\\?|\\[ab\\]|\\$user|x\\$user|\\{a,b\\})){1,4}", 1..30),
            path in "(/(a|b|ab|é|u|xu)){0,4}",
        ) {
            let patterns: Vec<PathPattern> = patterns.iter().map(|text| PathPattern::parse(text).unwrap()).collect();
            let automaton = automaton(&patterns);
            let path = CanonicalPath::resolve(PathProfile::Unix, None, format!("/{path}").as_bytes()).unwrap();
            let user = UserName::new(b"u");
            let walk = automaton.walk(path.components(), Some("u"));
            let scan = |test: &dyn Fn(&PathPattern) -> bool| -> Vec<usize> {
                (0..patterns.len()).filter(|&n| test(&patterns[n])).collect()
            };
            let count = patterns.len();
            prop_assert_eq!(numbers(count, |hits| walk.matches(hits)), scan(&|one| one.matches(&path, user.as_ref())));
            prop_assert_eq!(numbers(count, |hits| walk.reaches(hits)), scan(&|one| one.reaches_into(&path, user.as_ref())));
            // Who covers a directory matches whatever is below it.
            let below = CanonicalPath::resolve(PathProfile::Unix, Some(&path), b"q/r").unwrap();
            for owner in numbers(count, |hits| walk.covers(hits)) {
                prop_assert!(patterns[owner].matches(&below, user.as_ref()) && patterns[owner].matches(&path, user.as_ref()));
            }
        }
    }
}
