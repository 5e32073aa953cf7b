//! Which ports a configuration needs for data connections, and whether the fixed source ports of others can be had.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::StartError;
use super::bind::{bind, is_missing_family};
use crate::config::{Backend, BackendData, Listener};
use crate::data::active::try_source_port;
use crate::data::passive::{PortRequest, PortUser};

/// A listener's passive ports; `addresses` are those that it is bound to.
pub(super) fn passive(listener: &Listener, addresses: Vec<IpAddr>) -> PortRequest {
    let is_proxied = listener.passive.proxy_protocol;
    PortRequest {
        user: PortUser::Listener(listener.name.clone()),
        addresses,
        ports: listener.passive.ports.clone(),
        proxies: if is_proxied { listener.proxy_protocol_from.as_slice().into() } else { Arc::default() },
    }
}

/// The ports that a backend's servers dial, where they do.
pub(super) fn active(backend: &Backend) -> Option<PortRequest> {
    let BackendData::Active(ports) = &backend.data else { return None };
    let addresses = match backend.source {
        Some(source) => vec![source],
        None => WILDCARDS.into_iter().filter(|wildcard| is_family_there(*wildcard)).collect(),
    };
    Some(PortRequest {
        user: PortUser::Backend(backend.name.clone()),
        addresses,
        ports: ports.clone(),
        proxies: Arc::default(),
    })
}

/// Finds out now, and not at a client's first PORT, that `active_source_port` cannot be used.
pub(super) fn check_source_port(listener: &Listener, addresses: &[IpAddr]) -> Result<(), StartError> {
    let port = listener.active_source_port;
    if !listener.active || port == 0 {
        return Ok(());
    }
    let failed = |source| StartError::SourcePort { listener: listener.name.clone(), port, source };
    addresses.iter().try_for_each(|&address| try_source_port(address, port).map_err(failed))
}

/// Whether the machine has this address family at all.
fn is_family_there(wildcard: IpAddr) -> bool {
    !matches!(bind(SocketAddr::new(wildcard, 0)), Err(error) if is_missing_family(&error))
}

const WILDCARDS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
