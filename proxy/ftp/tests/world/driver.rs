//! The driver: it does what it is asked, and reports it, sooner or later, well or badly.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use ftpsgate_ftp::session::{
    ControlTls, DataTickets, Direction, Now, PortError, RelayEnd, RelayReport, Session, UpstreamFailure,
    UpstreamInfo,
};

use super::backend::Backend;

/// What it was asked for and has not reported.
#[derive(Debug, Default)]
pub(super) struct Driver {
    handshake: bool,
    secured: bool,
    connect: bool,
    /// Connections that were asked for since the session was last sent elsewhere.
    connects: u32,
    /// How many there may be.
    tries: u32,
    secure_upstream: bool,
    renewal: Renewal,
    tickets: Tickets,
    lease: Lease,
    dial: Dial,
    relay: Option<Direction>,
    /// A complete download, whose end the client has not seen.
    held: bool,
    finishing: bool,
    /// Of the latest relay.
    end: Option<RelayEnd>,
    source_ended: bool,
    is_finished: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Lease {
    #[default]
    None,
    Asked,
    Open,
    Used,
    /// None is needed: the client listens.
    Listening,
}

/// The second control connection.
#[derive(Debug, Default, PartialEq, Eq)]
enum Renewal {
    #[default]
    None,
    Asked,
    Reported,
}

/// Whether data connections can prove where they belong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tickets {
    #[default]
    Available,
    Spent,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Dial {
    #[default]
    None,
    Asked,
    Done,
    /// A port for the backend to dial is wanted, or there.
    LeaseAsked,
    Leased,
}

/// What may be reported.
#[derive(Clone, Copy)]
enum Report {
    Handshake,
    Connected,
    SecuredUpstream,
    Renewed,
    Leased,
    Dialled,
    UpstreamLeased,
    Relayed,
    Finished,
    Progress,
    LeaseUsed,
    LeaseExpired,
}

const FAILURES: [UpstreamFailure; 3] =
    [UpstreamFailure::Unreachable, UpstreamFailure::NoServer, UpstreamFailure::Full];

const ENDS: [RelayEnd; 14] = [
    RelayEnd::Complete,
    RelayEnd::Complete,
    RelayEnd::Complete,
    RelayEnd::Complete,
    RelayEnd::NotConnected,
    RelayEnd::TlsFailed,
    RelayEnd::NotResumed,
    RelayEnd::Truncated,
    RelayEnd::ClientFailed,
    RelayEnd::BackendFailed,
    RelayEnd::BackendTlsFailed,
    RelayEnd::Stalled,
    RelayEnd::TooSlow,
    RelayEnd::Violation,
];

impl Driver {
    /// One that may dial so often for a login.
    pub(super) fn new(tries: u32) -> Self {
        Self { tries, ..Self::default() }
    }

    /// Whether the session was told that a ticket is left.
    pub(super) fn has_ticket(&self) -> bool {
        self.tickets == Tickets::Available
    }

    pub(super) fn is_busy(&self) -> bool {
        self.is_handshaking()
            || self.connect
            || self.secure_upstream
            || self.renewal == Renewal::Asked
            || self.lease == Lease::Asked
            || matches!(self.dial, Dial::Asked | Dial::LeaseAsked)
            || self.relay.is_some()
            || self.finishing
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.handshake
    }

    pub(super) fn is_relaying(&self) -> bool {
        self.relay.is_some()
    }

    pub(super) fn is_uploading(&self) -> bool {
        self.relay == Some(Direction::Upload)
    }

    pub(super) fn take_secured(&mut self) -> bool {
        std::mem::take(&mut self.secured)
    }

    /// Whether the latest relay moved all there was.
    pub(super) fn is_complete(&self) -> bool {
        self.end == Some(RelayEnd::Complete)
    }

    /// Whether the latest download's end was taken by the client.
    pub(super) fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether a backend may honestly confirm an upload.
    pub(super) fn upload_has_ended(&self) -> bool {
        self.is_complete() || self.source_ended
    }

    /// Whether the backend's own data connection broke.
    pub(super) fn has_broken(&self) -> bool {
        self.end == Some(RelayEnd::BackendFailed)
    }

    /// Whether a backend may have seen an upload that was over before it began.
    pub(super) fn has_failed_tls(&self) -> bool {
        self.end == Some(RelayEnd::BackendTlsFailed)
    }

    /// Whether a port of ours listens for the backend.
    pub(super) fn has_upstream_port(&self) -> bool {
        self.dial == Dial::Leased
    }

    pub(super) fn handshake(&mut self) {
        assert!(!std::mem::replace(&mut self.handshake, true), "two handshakes");
    }

    /// A dial that was under way is dropped.
    pub(super) fn connect(&mut self, is_elsewhere: bool) {
        self.connects = if is_elsewhere { 1 } else { self.connects + 1 };
        assert!(self.connects <= self.tries, "{} connections for one login", self.connects);
        self.connect = true;
        self.secure_upstream = false;
    }

    pub(super) fn secure_upstream(&mut self) {
        assert!(!std::mem::replace(&mut self.secure_upstream, true), "two handshakes with the backend");
    }

    pub(super) fn renew(&mut self) {
        assert_eq!(self.renewal, Renewal::None, "two renewals");
        self.renewal = Renewal::Asked;
    }

    pub(super) fn settle(&mut self) {
        assert_ne!(self.renewal, Renewal::None, "there is no renewal");
        self.renewal = Renewal::None;
        self.secure_upstream = false;
    }

    pub(super) fn tell_tickets(&mut self, tickets: Tickets, session: &mut Session) {
        self.tickets = tickets;
        session.handle_data_tickets(match tickets {
            Tickets::Available => DataTickets::Available,
            Tickets::Spent => DataTickets::Spent,
        });
    }

    pub(super) fn lease(&mut self) {
        assert_eq!(self.lease, Lease::None, "two leases");
        assert_eq!(self.relay, None, "a lease in mid-transfer");
        self.lease = Lease::Asked;
    }

    pub(super) fn set_client(&mut self, address: SocketAddr) {
        assert_eq!(self.lease, Lease::None, "a lease for a client that listens");
        assert_eq!(self.relay, None, "another client in mid-transfer");
        assert_eq!(address, SocketAddr::from(([192, 0, 2, 7], 51201)), "another's address");
        self.lease = Lease::Listening;
    }

    pub(super) fn lease_upstream(&mut self) {
        assert_eq!(self.dial, Dial::None, "two data connections to the backend");
        self.dial = Dial::LeaseAsked;
    }

    pub(super) fn dial(&mut self, port: u16) {
        assert!(port >= 1024, "a privileged port is dialled");
        assert_eq!(self.dial, Dial::None, "two data connections to the backend");
        self.dial = Dial::Asked;
    }

    pub(super) fn discard(&mut self) {
        self.lease = Lease::None;
        self.dial = Dial::None;
        self.relay = None;
        self.held = false;
        self.finishing = false;
    }

    pub(super) fn start(&mut self, direction: Direction) {
        let has_client = matches!(self.lease, Lease::Open | Lease::Used | Lease::Listening);
        let has_backend = matches!(self.dial, Dial::Done | Dial::Leased);
        assert!(has_client && has_backend, "a relay without its two connections: {self:?}");
        self.lease = Lease::None;
        self.dial = Dial::None;
        self.relay = Some(direction);
        self.end = None;
        self.source_ended = false;
        self.is_finished = false;
    }

    pub(super) fn finish(&mut self) {
        assert!(std::mem::take(&mut self.held), "only a complete download is finished");
        self.finishing = true;
    }

    /// Reports one of the things that are under way. 0, 0 is always the good end of one that must come.
    pub(super) fn report(
        &mut self,
        which: usize,
        how: usize,
        session: &mut Session,
        backend: &mut Backend,
        now: Now,
    ) {
        let mut reports = Vec::new();
        let mut may = |condition: bool, report| reports.extend(condition.then_some(report));
        may(self.handshake, Report::Handshake);
        may(self.connect, Report::Connected);
        may(self.secure_upstream, Report::SecuredUpstream);
        may(self.renewal == Renewal::Asked, Report::Renewed);
        may(self.lease == Lease::Asked, Report::Leased);
        may(self.dial == Dial::Asked, Report::Dialled);
        may(self.dial == Dial::LeaseAsked, Report::UpstreamLeased);
        may(self.relay.is_some(), Report::Relayed);
        may(self.finishing, Report::Finished);
        may(self.relay.is_some(), Report::Progress);
        may(self.lease == Lease::Open, Report::LeaseUsed);
        may(self.lease == Lease::Open, Report::LeaseExpired);
        if reports.is_empty() {
            return;
        }
        let is_good = !how.is_multiple_of(8) || how == 0;
        match reports[which % reports.len()] {
            Report::Handshake => {
                self.handshake = false;
                if is_good {
                    self.secured = true;
                    session.handle_tls_established(tls());
                } else if backend.is_honest() || how.is_multiple_of(16) {
                    session.handle_plaintext_injection();
                } else {
                    session.handle_tls_failed();
                }
            }
            Report::Connected => {
                self.connect = false;
                let may_fail = !backend.is_honest() || self.connects < self.tries;
                if is_good || !may_fail {
                    backend.connect();
                    let server = SocketAddr::from(([198, 51, 100, 3], 21));
                    session.handle_upstream_connected(UpstreamInfo { server, prefer_pasv: how % 3 == 1 });
                } else if backend.is_honest() {
                    session.handle_upstream_failed(UpstreamFailure::Unreachable, now);
                } else {
                    session.handle_upstream_failed(FAILURES[how / 8 % FAILURES.len()], now);
                }
            }
            Report::SecuredUpstream => {
                self.secure_upstream = false;
                let may_fail =
                    !backend.is_honest() || self.connects < self.tries || self.renewal == Renewal::Reported;
                if is_good || !may_fail {
                    backend.secure();
                    session.handle_upstream_secured(now);
                } else {
                    session.handle_upstream_failed(UpstreamFailure::Unreachable, now);
                }
            }
            Report::Renewed => {
                self.renewal = Renewal::Reported;
                if is_good {
                    backend.connect_beside();
                    let server = SocketAddr::from(([198, 51, 100, 3], 21));
                    session.handle_upstream_connected(UpstreamInfo { server, prefer_pasv: how % 3 == 1 });
                    if how.is_multiple_of(2) {
                        self.tell_tickets(Tickets::Available, session);
                    }
                } else {
                    session.handle_upstream_failed(FAILURES[how / 8 % FAILURES.len()], now);
                }
            }
            Report::Leased => {
                self.lease = if is_good { Lease::Open } else { Lease::None };
                let address = SocketAddr::from(([203, 0, 113, 1], 61000));
                session.handle_port_leased(if is_good { Ok(address) } else { Err(PortError::NoneFree) }, now);
            }
            Report::Dialled => {
                self.dial = if is_good { Dial::Done } else { Dial::None };
                session.handle_backend_dialled(is_good, now);
            }
            Report::UpstreamLeased => {
                self.dial = if is_good { Dial::Leased } else { Dial::None };
                let address = match how % 3 {
                    0 => SocketAddr::from(([198, 51, 100, 9], 62000)),
                    1 => SocketAddr::from((Ipv4Addr::new(198, 51, 100, 9).to_ipv6_mapped(), 62000)),
                    _ => SocketAddr::from((Ipv6Addr::LOCALHOST, 62000)),
                };
                let leased = if is_good { Ok(address) } else { Err(PortError::NoneFree) };
                session.handle_upstream_port_leased(leased, now);
            }
            Report::Relayed => {
                let end = ENDS[how % ENDS.len()];
                let direction = self.relay.take();
                self.end = Some(end);
                self.held = direction == Some(Direction::Download) && end == RelayEnd::Complete;
                session
                    .handle_relay_finished(RelayReport { bytes: 9, end, tls: None, upstream_tls: None }, now);
            }
            Report::Finished => {
                self.finishing = false;
                self.is_finished = is_good;
                session.handle_download_finished(is_good, now);
            }
            Report::Progress => {
                self.source_ended |= how % 2 == 1;
                session.handle_progress(7, self.source_ended);
            }
            Report::LeaseUsed => self.lease = Lease::Used,
            Report::LeaseExpired => {
                self.lease = Lease::None;
                session.handle_lease_expired(now);
            }
        }
    }
}

fn tls() -> ControlTls {
    ControlTls {
        server_name: None,
        version: "1.3",
        suite: "TLS13_AES_256_GCM_SHA384".into(),
        resumed: false,
        client_certificate: None,
    }
}
