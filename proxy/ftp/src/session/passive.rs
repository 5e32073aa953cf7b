//! PASV and EPSV: the data connections before a transfer, RFC 959 §4.1.2 and RFC 2428.
//!
//! The client's PASV or EPSV is answered from a leased port at once, while the backend's own runs. What the backend
//! says of its address is never believed, only its port.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use crate::codec::address::{self, AddressError, EpsvArgument, Family};
use crate::codec::{Command, Kind, Reply, Verb};

use super::answers;
use super::event::{Action, Fact, Now, PortError, Violation};
use super::transfer::{Running, Transfer};
use super::{Expecting, Session};

/// Data connections before a transfer.
#[derive(Debug)]
pub(super) struct Setup {
    style: Style,
    lease: Lease,
    pub(super) backend: BackendData,
    /// A transfer command that waits for the backend's data connection, or for the answer to REST.
    pub(super) waiting: Option<Running>,
}

/// How the client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Pasv,
    Epsv,
}

/// The client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lease {
    Asked,
    Ready,
}

/// The backend's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BackendData {
    /// EPSV or PASV was sent, or the dial is under way.
    Pending,
    Connected,
    Failed,
}

impl Setup {
    /// Whether the client's command was answered, and no other waits.
    pub(super) fn is_at_rest(&self) -> bool {
        self.lease == Lease::Ready && self.waiting.is_none()
    }
}

impl Session {
    pub(super) fn run_passive(&mut self, style: Style, command: &Command, now: Now) {
        if style == Style::Epsv
            && let Err(reply) = self.judge_epsv(command.argument())
        {
            return self.answer(Verb::Epsv, reply);
        }
        if self.permit(command).is_none() {
            return;
        }
        // A new one replaces the one before it (RFC 959 §3.3).
        if self.transfer.take_setup() {
            self.actions.push_back(Action::DiscardData);
        }
        self.transfer = Transfer::Setup(Setup {
            style,
            lease: Lease::Asked,
            backend: BackendData::Pending,
            waiting: None,
        });
        self.actions.push_back(Action::LeasePort);
        self.prepare_backend_data(now);
    }

    /// Asks the backend for its side of the data connections that are being set up. Only
    /// [`Session::prepare_backend_data`] knows when.
    pub(super) fn begin_backend_data(&mut self, now: Now) {
        match self.upstream {
            Some(upstream) if upstream.prefer_pasv && is_v4(upstream.server) => {
                self.send(Command::bare(Verb::Pasv), Expecting::Pasv, now);
            }
            Some(_) | None => self.send(Command::bare(Verb::Epsv), Expecting::Epsv, now),
        }
    }

    /// What EPSV's argument asks for, where it is not simply a port.
    fn judge_epsv(&mut self, argument: Option<&[u8]>) -> Result<(), Reply> {
        let family = Family::of(self.client.address);
        match address::parse_epsv(argument) {
            Ok(EpsvArgument::Default) => Ok(()),
            Ok(EpsvArgument::Family(asked)) if asked == family => Ok(()),
            Ok(EpsvArgument::Family(_)) | Err(AddressError::UnknownFamily) => {
                Err(answers::wrong_family(family))
            }
            Ok(EpsvArgument::All) => {
                self.epsv_only = true;
                Err(Reply::new(200, "Only EPSV from now on."))
            }
            Err(AddressError::Malformed) => Err(answers::bad_argument(Verb::Epsv)),
        }
    }

    /// A port listens for this client, at the address that it is to dial; or none does.
    pub fn handle_port_leased(&mut self, leased: Result<SocketAddr, PortError>, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        if setup.lease != Lease::Asked {
            return;
        }
        let (verb, reply) = match (setup.style, leased) {
            (Style::Epsv, Ok(address)) => (Verb::Epsv, Ok(address::epsv_reply(address.port()))),
            (Style::Pasv, Ok(address)) => (Verb::Pasv, pasv_reply(address)),
            (style, Err(error)) => {
                let verb = if style == Style::Epsv { Verb::Epsv } else { Verb::Pasv };
                (verb, Err(Reply::new(425, format!("No data connection is possible: {error}."))))
            }
        };
        match reply {
            Ok(reply) => {
                setup.lease = Lease::Ready;
                self.answer(verb, reply);
            }
            Err(reply) => {
                self.transfer = Transfer::Idle;
                self.actions.push_back(Action::DiscardData);
                self.answer(verb, reply);
            }
        }
        self.advance(now);
    }

    /// Nobody opened the leased port in time. Once a relay was started this is the relay's to notice.
    pub fn handle_lease_expired(&mut self, now: Now) {
        let reply = || Reply::new(425, "The data connection was not opened in time.");
        match self.transfer.take() {
            Transfer::Setup(setup) => {
                self.actions.push_back(Action::DiscardData);
                if let Some(running) = setup.waiting {
                    self.finish_transfer(running, reply(), now);
                }
            }
            // A 150 would start a relay over a connection that nobody will make.
            Transfer::Opening(running) => {
                self.actions.push_back(Action::CancelRelay);
                self.abort_transfer(running, reply(), now);
            }
            transfer @ (Transfer::Idle
            | Transfer::Relaying { .. }
            | Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. }
            | Transfer::Aborting(_)) => self.transfer = transfer,
        }
        self.advance(now);
    }

    pub(super) fn handle_epsv_reply(&mut self, reply: Reply, now: Now) {
        let falls_back = matches!(reply.code().value(), 500 | 501 | 502 | 522);
        match self.data_port(&reply) {
            Some(port) => self.dial_backend_data(port),
            None if reply.kind() == Kind::Preliminary => self.expect_more(Expecting::Epsv, now),
            None => match self.upstream {
                // Malformed 229s are as good as none.
                Some(ref mut upstream)
                    if is_v4(upstream.server) && (falls_back || reply.kind() == Kind::Completion) =>
                {
                    upstream.prefer_pasv = true;
                    self.facts.push_back(Fact::EpsvRefused);
                    self.send(Command::bare(Verb::Pasv), Expecting::Pasv, now);
                }
                Some(_) | None => self.fail_backend_data(now),
            },
        }
    }

    pub(super) fn handle_pasv_reply(&mut self, reply: Reply, now: Now) {
        match self.data_port(&reply) {
            Some(port) => self.dial_backend_data(port),
            None if reply.kind() == Kind::Preliminary => self.expect_more(Expecting::Pasv, now),
            None => self.fail_backend_data(now),
        }
    }

    /// The port in a 229 or 227. The host in a 227 is what the backend says, not where it is: it is ignored.
    fn data_port(&self, reply: &Reply) -> Option<u16> {
        match reply.code().value() {
            229 => address::parse_epsv_reply(reply),
            // Some servers answer EPSV with 227.
            227 => address::parse_pasv_reply(reply).map(|address| address.port()),
            _other => None,
        }
    }

    fn dial_backend_data(&mut self, port: u16) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        if port < LOWEST_PORT {
            setup.backend = BackendData::Failed;
            self.facts.push_back(Fact::Violation(Violation::LowPort));
        } else {
            self.actions.push_back(Action::DialBackendData(port));
        }
    }

    /// There will be no data connection to the backend: the transfer command gets 425.
    pub(super) fn fail_backend_data(&mut self, now: Now) {
        self.handle_backend_dialled(false, now);
    }

    /// The backend's data connection stands, or cannot be had.
    pub fn handle_backend_dialled(&mut self, connected: bool, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        setup.backend = if connected { BackendData::Connected } else { BackendData::Failed };
        if let Some(running) = setup.waiting.take() {
            self.open_transfer(running, now);
        }
        self.advance(now);
    }
}

fn pasv_reply(address: SocketAddr) -> Result<Reply, Reply> {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => Ok(address::pasv_reply(SocketAddrV4::new(ip, address.port()))),
        IpAddr::V6(_) => Err(Reply::new(425, "PASV needs IPv4; use EPSV.")),
    }
}

fn is_v4(server: SocketAddr) -> bool {
    Family::of(server.ip()) == Family::V4
}

/// A backend that names a privileged port means somebody else's service.
const LOWEST_PORT: u16 = 1024;
