//! FEAT (RFC 2389): which of a backend's features the gateway passes on, and the list that it composes.

use std::collections::BTreeMap;

use super::reply::{Kind, Reply};

/// The features of a backend that the gateway understands, with their parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeatureSet {
    lines: BTreeMap<&'static str, Vec<u8>>,
}

impl FeatureSet {
    /// Reads a reply to FEAT. A refusal is the empty set.
    pub fn parse(reply: &Reply) -> Self {
        let mut lines = BTreeMap::new();
        if reply.kind() == Kind::Completion {
            let count = reply.lines().count();
            for line in reply.lines().skip(1).take(count.saturating_sub(2)) {
                let line = strip_code(line).trim_ascii();
                let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
                let rest = &line[word.len()..];
                if let Some(name) = PASSED_ON.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()))
                    && line.len() <= FEATURE_BYTES_MAX
                {
                    lines.insert(*name, rest.to_vec());
                }
            }
        }
        Self { lines }
    }

    /// Whether a feature is in the set.
    pub fn has(&self, name: &str) -> bool {
        self.lines.contains_key(name)
    }

    /// What both have, with this set's parameters; where they differ the feature is left out.
    pub fn intersect(mut self, other: &Self) -> Self {
        self.lines.retain(|name, rest| other.lines.get(name) == Some(rest));
        self
    }

    fn encode(&self) -> impl Iterator<Item = Vec<u8>> {
        self.lines.iter().map(|(name, rest)| [name.as_bytes(), rest].concat())
    }
}

/// The gateway's reply to FEAT: its own features, then the backend's.
pub fn compose(own: &[&str], backend: &FeatureSet) -> Reply {
    let mut lines: Vec<Vec<u8>> = own.iter().map(|line| line.as_bytes().to_vec()).collect();
    lines.extend(backend.encode());
    lines.sort();
    let indented = lines.into_iter().map(|line| [b" ".as_slice(), &line].concat());
    Reply::multiline(211, "Features:", indented, "End")
}

/// Some servers repeat the code on every line.
fn strip_code(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"211-").unwrap_or(line)
}

/// What a backend may offer through the gateway: commands that are forwarded, and facts about file names. What
/// concerns the control connection's security and the data connections is the gateway's own affair.
const PASSED_ON: [&str; 26] = [
    "AVBL", "CLNT", "COMB", "CSID", "DSIZ", "HASH", "LANG", "MD5", "MDTM", "MFCT", "MFF", "MFMT", "MLST",
    "MMD5", "REST", "RMDA", "SIZE", "THMB", "TVFS", "UTF8", "XCRC", "XMD5", "XSHA", "XSHA1", "XSHA256",
    "XSHA512",
];

/// Bytes of one line.
const FEATURE_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn features(lines: &[&str]) -> FeatureSet {
        FeatureSet::parse(&Reply::multiline(211, "Features:", lines, "End"))
    }

    #[test]
    fn only_understood_features_pass() {
        let set =
            features(&[" MLST type*;size*;", " AUTH TLS", " MODE Z", " utf8", " EPSV", "211-SIZE", " PROT"]);
        assert!(set.has("MLST") && set.has("UTF8") && set.has("SIZE"));
        let reply = compose(&["AUTH TLS", "EPSV"], &set);
        assert_eq!(
            reply.encode(),
            b"211-Features:\r\n AUTH TLS\r\n EPSV\r\n MLST type*;size*;\r\n SIZE\r\n UTF8\r\n211 End\r\n"
        );
    }

    #[test]
    fn a_refusal_leaves_our_own() {
        assert_eq!(FeatureSet::parse(&Reply::new(500, "what?")), FeatureSet::default());
        assert_eq!(FeatureSet::parse(&Reply::new(211, "no features")), FeatureSet::default());
    }

    #[test]
    fn the_intersection_keeps_what_all_backends_say_alike() {
        let one = features(&[" SIZE", " MLST type*;", " MDTM"]);
        let two = features(&[" SIZE", " MLST size*;", " UTF8"]);
        assert_eq!(one.intersect(&two), features(&[" SIZE"]));
    }
}
