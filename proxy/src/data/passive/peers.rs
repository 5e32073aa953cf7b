//! Who may open a data connection.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::PassivePeer;

/// The addresses that a session's data connection may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peers(IpNet);

impl Peers {
    /// The client's own address, or those that share a prefix with it.
    pub(super) fn of(client: IpAddr, rule: PassivePeer) -> Self {
        let host = IpNet::from(client.to_canonical());
        let bits = match rule {
            PassivePeer::Exact => host.max_prefix_len(),
            PassivePeer::Prefix(bits) => bits.min(host.max_prefix_len()),
        };
        let network = IpNet::new(host.addr(), bits).expect("a prefix is no longer than its address");
        Self(network.trunc())
    }

    pub(super) fn contains(self, peer: IpAddr) -> bool {
        self.0.contains(&peer.to_canonical())
    }

    /// Whether some address belongs to both.
    pub(super) fn overlap(self, other: Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(client: &str, rule: PassivePeer) -> Peers {
        Peers::of(client.parse().unwrap(), rule)
    }

    #[test]
    fn exact_means_one_address_and_knows_mapped_ones() {
        let one = peers("::ffff:192.0.2.7", PassivePeer::Exact);
        assert_eq!(one, peers("192.0.2.7", PassivePeer::Exact));
        assert!(one.contains("192.0.2.7".parse().unwrap()));
        assert!(one.contains("::ffff:192.0.2.7".parse().unwrap()));
        assert!(!one.contains("192.0.2.8".parse().unwrap()));
    }

    #[test]
    fn a_prefix_is_cut_to_the_family_and_overlaps_what_it_contains() {
        let network = peers("192.0.2.7", PassivePeer::Prefix(24));
        assert!(network.contains("192.0.2.200".parse().unwrap()));
        assert!(!network.contains("192.0.3.1".parse().unwrap()));
        assert_eq!(peers("192.0.2.7", PassivePeer::Prefix(64)), peers("192.0.2.7", PassivePeer::Exact));
        let host = peers("192.0.2.99", PassivePeer::Exact);
        assert!(network.overlap(host) && host.overlap(network));
        assert!(!host.overlap(peers("192.0.2.98", PassivePeer::Exact)));
        assert!(!peers("::", PassivePeer::Prefix(0)).overlap(peers("192.0.2.7", PassivePeer::Prefix(0))));
    }
}
