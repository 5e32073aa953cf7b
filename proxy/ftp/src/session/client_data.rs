//! PASV, EPSV, PORT and EPRT from a client: RFC 959 §4.1.2, RFC 2428.
//!
//! PASV and EPSV are answered from a leased port at once, while the backend's own data connection is prepared. PORT and
//! EPRT may name nobody but the client itself (RFC 2577 §3): whoever could name another would make the gateway dial
//! third parties from inside.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use crate::codec::address::{self, AddressError, EpsvArgument, Family};
use crate::codec::{Command, Reply, Verb};

use super::Session;
use super::answers;
use super::event::{Action, Now, PortError};
use super::setup::{ClientData, LOWEST_PORT, Style};
use super::transfer::Transfer;

/// Reads the argument of PORT, or of EPRT.
pub(super) type ParseAddress = fn(&[u8]) -> Result<SocketAddr, AddressError>;

impl Session {
    pub(super) fn run_passive(&mut self, style: Style, command: &Command, now: Now) {
        if style == Style::Epsv
            && let Err(reply) = self.judge_epsv(command.argument())
        {
            return self.answer(Verb::Epsv, reply);
        }
        if self.permit(command, now).is_none() {
            return;
        }
        self.begin_setup(ClientData::Leasing(style), self.first_backend_data());
        self.actions.push_back(Action::LeasePort);
        self.prepare_passive_backend(now);
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

    pub(super) fn run_active(&mut self, parse: ParseAddress, command: &Command, now: Now) {
        let verb = command.verb();
        if !self.settings.active {
            return self.refuse(command, answers::not_offered(verb));
        }
        let address = match self.judge_address(verb, parse(command.argument_or_empty())) {
            Ok(address) => address,
            Err(reply) => return self.answer(verb, reply),
        };
        // Other hosts include all that is nobody's or everybody's: multicast, unspecified, the gateway's own.
        if address.ip() != self.client.address.to_canonical() {
            return self.refuse(command, answers::foreign_host(verb));
        }
        if address.port() < LOWEST_PORT {
            return self.refuse(command, answers::low_port(verb));
        }
        if self.permit(command, now).is_none() {
            return;
        }
        self.begin_setup(ClientData::Listening, self.first_backend_data());
        self.actions.push_back(Action::SetClientAddress(address));
        self.answer(verb, Reply::new(200, format!("{} command successful.", verb.name())));
        self.prepare_passive_backend(now);
    }

    /// An address of the control connection's family, IPv4-mapped ones as IPv4.
    fn judge_address(
        &self,
        verb: Verb,
        parsed: Result<SocketAddr, AddressError>,
    ) -> Result<SocketAddr, Reply> {
        let family = Family::of(self.client.address);
        match parsed {
            Ok(address) if address.port() == 0 => Err(answers::bad_argument(verb)),
            Ok(address) if Family::of(address.ip()) == family => {
                Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            Ok(_) | Err(AddressError::UnknownFamily) => Err(answers::wrong_family(family)),
            Err(AddressError::Malformed) => Err(answers::bad_argument(verb)),
        }
    }

    /// A port listens for this client, at the address that it is to dial; or none does.
    pub fn handle_port_leased(&mut self, leased: Result<SocketAddr, PortError>, now: Now) {
        let Transfer::Setup(setup) = &mut self.transfer else { return };
        let ClientData::Leasing(style) = setup.client else { return };
        let (verb, reply) = match (style, leased) {
            (Style::Epsv, Ok(address)) => (Verb::Epsv, Ok(address::epsv_reply(address.port()))),
            (Style::Pasv, Ok(address)) => (Verb::Pasv, pasv_reply(address)),
            (Style::Epsv, Err(error)) => (Verb::Epsv, Err(answers::no_data_port(error))),
            (Style::Pasv, Err(error)) => (Verb::Pasv, Err(answers::no_data_port(error))),
        };
        match reply {
            Ok(reply) => {
                setup.client = ClientData::Expected;
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

    /// Nobody opened the leased port in time. Once a relay was started this is the relay's to notice, and where the
    /// client listens there is no lease.
    pub fn handle_lease_expired(&mut self, now: Now) {
        let reply = || Reply::new(425, "The data connection was not opened in time.");
        match self.transfer.take() {
            Transfer::Setup(setup) if setup.client != ClientData::Listening => {
                self.actions.push_back(Action::DiscardData);
                if let Some(running) = setup.waiting {
                    self.restart = None;
                    self.finish_transfer(running, reply(), now);
                }
            }
            // A 150 would start a relay over a connection that nobody will make.
            Transfer::Opening { running, client: ClientData::Leasing(_) | ClientData::Expected } => {
                self.actions.push_back(Action::CancelRelay);
                self.abort_transfer(running, reply(), now);
            }
            transfer @ (Transfer::Idle
            | Transfer::Setup(_)
            | Transfer::Opening { client: ClientData::Listening, .. }
            | Transfer::Relaying { .. }
            | Transfer::Completing { .. }
            | Transfer::Finishing { .. }
            | Transfer::Failing { .. }
            | Transfer::Aborting(_)) => self.transfer = transfer,
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
