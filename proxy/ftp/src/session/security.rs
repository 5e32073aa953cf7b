//! AUTH, PBSZ, PROT, CCC and HOST: RFC 2228, 4217, 7151.

use ftpsgate_policies::request::{Tls, TlsVersion};

use crate::codec::parameter::{self, Mechanism, ProtLevel};
use crate::codec::{Command, Protection, Reply, Verb};

use super::answers;
use super::event::{Action, CloseReason, ControlTls, Fact, Violation};
use super::settings::{Mode, RequireTls};
use super::{Phase, Session};

/// What protects the two channels.
#[derive(Debug)]
pub(super) struct Security {
    /// The control connection's TLS.
    tls: Option<ControlTls>,
    /// PBSZ was said.
    pbsz: bool,
    /// Of the client's data connections.
    protection: Protection,
    /// PROT P from the start, once the handshake is through (AUTH SSL).
    private_at_once: bool,
}

impl Default for Security {
    fn default() -> Self {
        Self { tls: None, pbsz: false, protection: Protection::Clear, private_at_once: false }
    }
}

impl Security {
    pub(super) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The control connection's TLS, once it stands.
    pub(super) fn tls(&self) -> Option<&ControlTls> {
        self.tls.as_ref()
    }

    pub(super) fn protection(&self) -> Protection {
        self.protection
    }
}

impl Session {
    /// TLS with the client stands. Whatever was said before is forgotten.
    pub fn handle_tls_established(&mut self, tls: ControlTls) {
        if self.phase != Phase::Handshake {
            return;
        }
        let is_implicit = self.settings.mode == Mode::Implicit;
        let is_private = is_implicit || self.security.private_at_once;
        self.facts.push_back(Fact::TlsEstablished(tls.clone()));
        self.subject.tls = Some(Tls {
            // The gateway speaks no other.
            version: if tls.version == "1.3" { TlsVersion::V13 } else { TlsVersion::V12 },
            is_resumed: tls.resumed,
        });
        self.subject.certificate.clone_from(&tls.client_certificate);
        self.security = Security {
            tls: Some(tls),
            pbsz: is_private,
            protection: if is_private { Protection::Private } else { Protection::Clear },
            private_at_once: false,
        };
        self.subject.user = None;
        self.host = None;
        self.utf8_promised = false;
        self.phase = Phase::ExpectUser;
        self.ask_entrance();
    }

    /// TLS with the client failed: there is nothing more to say to it.
    pub fn handle_tls_failed(&mut self) {
        self.close(CloseReason::TlsFailed, None);
    }

    /// Bytes were buffered behind the AUTH. They are never looked at.
    pub fn handle_plaintext_injection(&mut self) {
        if !self.is_closed() {
            self.violate(Violation::PlaintextInjection, None);
        }
    }

    pub(super) fn run_auth(&mut self, command: &Command) {
        let verb = Verb::Auth;
        let Some(mechanism) = parameter::parse_auth(command.argument_or_empty()) else {
            return self.answer(verb, Reply::new(504, "Only AUTH TLS is understood."));
        };
        if self.security.is_secure() {
            return self.answer(verb, Reply::new(503, "The control connection is secure already."));
        }
        match self.phase {
            Phase::ExpectAuth => {}
            Phase::ExpectUser => return self.answer(verb, Reply::new(534, "TLS is not offered here.")),
            Phase::ExpectPassword | Phase::ExpectAccount | Phase::Ready => {
                let text = match self.settings.mode {
                    Mode::Plain => (534, "TLS is not offered here."),
                    Mode::Explicit | Mode::Implicit => (503, "AUTH comes before USER."),
                };
                return self.answer(verb, Reply::new(text.0, text.1));
            }
            Phase::Handshake
            | Phase::ConnectUpstream
            | Phase::UpstreamUser
            | Phase::UpstreamPassword
            | Phase::Closed => unreachable!("commands run only at rest"),
        }
        if !self.settings.certificate_available {
            return self.answer(verb, Reply::new(431, "No certificate is available; try again later."));
        }
        if !self.queue.is_empty() {
            return self.violate(Violation::PlaintextInjection, None);
        }
        self.security.private_at_once = mechanism == Mechanism::TlsPrivate;
        self.phase = Phase::Handshake;
        let reply = Reply::new(234, "Proceed with TLS.");
        self.close_record(Some(reply.code().value()));
        self.actions.push_back(Action::UpgradeDownstream(reply));
    }

    pub(super) fn run_pbsz(&mut self, command: &Command) {
        let reply = if !self.security.is_secure() {
            Reply::new(503, "AUTH comes before PBSZ.")
        } else if !parameter::is_pbsz(command.argument_or_empty()) {
            answers::bad_argument(Verb::Pbsz)
        } else {
            self.security.pbsz = true;
            Reply::new(200, "PBSZ=0")
        };
        self.answer(Verb::Pbsz, reply);
    }

    pub(super) fn run_prot(&mut self, command: &Command) {
        if !self.security.pbsz {
            return self.answer(Verb::Prot, Reply::new(503, "PBSZ comes before PROT."));
        }
        let reply = match parameter::parse_prot(command.argument_or_empty()) {
            ProtLevel::Known(Protection::Private) => {
                self.security.protection = Protection::Private;
                Reply::new(200, "Data connections are private.")
            }
            ProtLevel::Known(Protection::Clear) => match self.settings.require_tls {
                RequireTls::Data => {
                    let reply = Reply::new(534, "Data connections must be private.");
                    return self.refuse(command, reply);
                }
                RequireTls::Login | RequireTls::No => {
                    self.security.protection = Protection::Clear;
                    Reply::new(200, "Data connections are clear.")
                }
            },
            ProtLevel::NotWithTls => Reply::new(536, "TLS knows only the levels C and P."),
            ProtLevel::Unknown => Reply::new(504, "Unknown protection level."),
        };
        self.answer(Verb::Prot, reply);
    }

    pub(super) fn run_ccc(&mut self, command: &Command) {
        self.refuse(command, Reply::new(534, "The control connection stays under TLS."));
    }

    /// RFC 7151: which of the names of this gateway is meant. Routes go by it, so a name that is no text is none.
    pub(super) fn run_host(&mut self, command: &Command) {
        let is_expected = matches!(self.phase, Phase::ExpectAuth | Phase::ExpectUser);
        if !is_expected {
            return self.answer(Verb::Host, Reply::new(503, "HOST comes before USER."));
        }
        let server_name = self.security.tls.as_ref().and_then(|tls| tls.server_name.as_ref());
        let name = std::str::from_utf8(command.argument_or_empty()).map(str::to_ascii_lowercase).ok().filter(
            |name| match server_name {
                Some(server_name) => server_name.eq_ignore_ascii_case(name),
                None => self.is_host_known(name),
            },
        );
        let reply = match name {
            Some(name) => {
                self.host = Some(name);
                Reply::new(220, "Host accepted.")
            }
            None => Reply::new(504, "Unknown host."),
        };
        self.answer(Verb::Host, reply);
    }
}
