//! The backend's data connection: EPSV or PASV, and its port is dialled; or PORT or EPRT, and it dials ours.
//!
//! What a backend says of its address is never believed, only its port. Where it dials us, it is told so right before
//! the transfer command and never earlier: all sessions share one peer address there, so the port that it was told
//! decides whose data it is, and is leased for as short a time as can be. RFC 959 §4.1.2, RFC 2428.
//!
//! Some servers take names from the directory in which they were asked for the data connection (libunftp): it is asked
//! for after the walk to where a transfer takes place.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use crate::codec::address::{self, Family};
use crate::codec::{Command, Kind, Reply, Verb};

use super::event::{Action, Fact, Now, PortError, Violation};
use super::settings::UpstreamData;
use super::setup::{BackendData, LOWEST_PORT};
use super::transfer::Transfer;
use super::{Expecting, Session};

impl Session {
    /// How the backend's side of a new setup begins.
    pub(super) fn first_backend_data(&self) -> BackendData {
        match self.upstream_settings().data {
            UpstreamData::Passive if self.may_walk() => BackendData::Untold,
            UpstreamData::Passive => BackendData::Pending,
            UpstreamData::Active => BackendData::Untold,
        }
    }

    /// Prepares the backend's side of a new setup, unless that has to wait for the transfer command.
    pub(super) fn prepare_passive_backend(&mut self, now: Now) {
        if self.transfer.backend_data() == Some(BackendData::Pending) {
            self.prepare_backend_data(now);
        }
    }

    /// Asks the backend for its side of the data connections that are being set up: a passive one as soon as the client
    /// has asked for its own, an active one at the transfer command. Only [`Session::prepare_backend_data`] knows when.
    pub(super) fn begin_backend_data(&mut self, now: Now) {
        let data = self.upstream_settings().data;
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        match data {
            UpstreamData::Passive => {
                let knows_epsv =
                    self.upstream.is_none_or(|upstream| !upstream.prefer_pasv || !is_v4(upstream.server));
                if knows_epsv {
                    self.send(Command::bare(Verb::Epsv), Expecting::Epsv, now);
                } else {
                    self.send(Command::bare(Verb::Pasv), Expecting::Pasv, now);
                }
            }
            UpstreamData::Active => {
                setup.backend = BackendData::Leasing;
                self.actions.push_back(Action::LeaseUpstreamPort);
            }
        }
    }

    /// There will be no data connection to the backend: the transfer command gets 425.
    pub(super) fn fail_backend_data(&mut self, now: Now) {
        self.settle_backend_data(BackendData::Failed, now);
    }

    /// The backend's side is decided: a transfer command that waits for it goes on.
    fn settle_backend_data(&mut self, backend: BackendData, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        setup.backend = backend;
        if let Some(running) = setup.waiting.take() {
            self.open_transfer(running, now);
        }
    }

    pub(super) fn handle_epsv_reply(&mut self, reply: Reply, now: Now) {
        let falls_back = matches!(reply.code().value(), 500 | 501 | 502 | 522);
        match data_port(&reply) {
            Some(port) => self.dial_backend_data(port, now),
            None if reply.kind() == Kind::Preliminary => self.expect_more(Expecting::Epsv, now),
            None => match self.upstream {
                // Malformed 229s are as good as none.
                Some(ref mut upstream)
                    if is_v4(upstream.server) && (falls_back || reply.kind() == Kind::Completion) =>
                {
                    upstream.prefer_pasv = true;
                    self.facts.push_back(Fact::EpsvRefused);
                    if matches!(self.transfer, Transfer::Setup(_)) {
                        self.send(Command::bare(Verb::Pasv), Expecting::Pasv, now);
                    }
                }
                // A 227 has no room for IPv6.
                Some(_) | None => self.fail_backend_data(now),
            },
        }
    }

    pub(super) fn handle_pasv_reply(&mut self, reply: Reply, now: Now) {
        match data_port(&reply) {
            Some(port) => self.dial_backend_data(port, now),
            None if reply.kind() == Kind::Preliminary => self.expect_more(Expecting::Pasv, now),
            None => self.fail_backend_data(now),
        }
    }

    fn dial_backend_data(&mut self, port: u16, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        if port < LOWEST_PORT {
            self.facts.push_back(Fact::Violation(Violation::LowPort));
            self.fail_backend_data(now);
        } else {
            setup.backend = BackendData::Dialling;
            self.actions.push_back(Action::DialBackendData(port));
        }
    }

    /// The backend's data connection stands, or cannot be had.
    pub fn handle_backend_dialled(&mut self, connected: bool, now: Now) {
        if self.transfer.backend_data() != Some(BackendData::Dialling) {
            return;
        }
        let backend = if connected { BackendData::Ready } else { BackendData::Failed };
        self.settle_backend_data(backend, now);
        self.advance(now);
    }

    /// A port of ours listens for the backend, at the address that it is to dial; or none does.
    pub fn handle_upstream_port_leased(&mut self, leased: Result<SocketAddr, PortError>, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        if setup.backend != BackendData::Leasing {
            return;
        }
        match leased {
            Ok(address) => {
                setup.backend = BackendData::Told;
                match address.ip().to_canonical() {
                    IpAddr::V4(ip) => self.send_port(SocketAddrV4::new(ip, address.port()), now),
                    IpAddr::V6(_) => self.send_eprt(address, now),
                }
            }
            Err(_) => self.fail_backend_data(now),
        }
        self.advance(now);
    }

    fn send_port(&mut self, address: SocketAddrV4, now: Now) {
        let port = Command::with(Verb::Port, address::format_port(address));
        self.send(port.expect("six numbers are one line"), Expecting::Port { address }, now);
    }

    fn send_eprt(&mut self, address: SocketAddr, now: Now) {
        let eprt = Command::with(Verb::Eprt, address::format_eprt(address));
        self.send(eprt.expect("an address is one line"), Expecting::Eprt, now);
    }

    pub(super) fn handle_port_reply(&mut self, address: SocketAddrV4, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::Port { address }, now),
            // The client may have been given up meanwhile: then the port that the backend knows does not matter, since
            // no transfer command is sent without another one.
            Kind::Completion => self.settle_backend_data(BackendData::Ready, now),
            // A few servers know only the extended ones.
            Kind::PermanentFailure
                if matches!(reply.code().value(), 500 | 502)
                    && matches!(self.transfer, Transfer::Setup(_)) =>
            {
                self.send_eprt(SocketAddr::V4(address), now);
            }
            Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                self.fail_backend_data(now);
            }
        }
    }

    pub(super) fn handle_eprt_reply(&mut self, reply: Reply, now: Now) {
        match reply.kind() {
            Kind::Preliminary => self.expect_more(Expecting::Eprt, now),
            Kind::Completion => self.settle_backend_data(BackendData::Ready, now),
            Kind::Intermediate | Kind::TransientFailure | Kind::PermanentFailure => {
                self.fail_backend_data(now);
            }
        }
    }
}

/// The port in a 229 or 227. The host in a 227 is what the backend says, not where it is: it is ignored.
fn data_port(reply: &Reply) -> Option<u16> {
    match reply.code().value() {
        229 => address::parse_epsv_reply(reply),
        // Some servers answer EPSV with 227.
        227 => address::parse_pasv_reply(reply).map(|address| address.port()),
        _other => None,
    }
}

fn is_v4(server: SocketAddr) -> bool {
    Family::of(server.ip()) == Family::V4
}
