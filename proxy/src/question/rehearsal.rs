//! A session that is only played: the real state machine, with a client that does what clients do and a server that
//! is imagined. Nothing is dialled, and no time passes.
//!
//! So what is said of a command is what a session makes of it, and no second opinion that could differ.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftpsgate_ftp::codec::{Command, FeatureSet, Reply, Verb};
use ftpsgate_ftp::session::{
    Action, Client, ControlTls, Destination, Direction, Fact, LoginVerdict, Now, RelayEnd, RelayReport,
    Session, Settings, Standing, UpstreamInfo,
};

use super::server::{Asked, ImaginedServer, features, is_servers};

/// The session and both its ends.
#[derive(Debug)]
pub(super) struct Rehearsal {
    session: Session,
    server: ImaginedServer,
    now: Now,
    client: IpAddr,
    /// What a handshake leads to.
    tls: Option<ControlTls>,
    /// How much an upload holds.
    size_bytes: u64,
    destination: Option<Destination>,
    /// Of the present exchange.
    replies: Vec<Reply>,
    facts: Vec<Fact>,
    /// The server has still to say that the transfer is over.
    is_transfer_open: bool,
}

/// What came of one command.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Its final reply; `None`: the connection ended without one.
    pub(super) reply: Option<Reply>,
    pub(super) facts: Vec<Fact>,
    pub(super) asked: Asked,
}

impl Exchange {
    /// Whether the gateway refused it: who else says no is imagined, and says yes.
    pub(super) fn is_refused(&self) -> bool {
        match &self.reply {
            Some(reply) => reply.code().value() >= 400 && !is_servers(reply),
            None => true,
        }
    }

    /// The reply, where it is the gateway's own.
    pub(super) fn own_reply(&self) -> Option<&Reply> {
        self.reply.as_ref().filter(|reply| !is_servers(reply))
    }
}

impl Rehearsal {
    /// A client connects.
    pub(super) fn begin(
        settings: Settings,
        client: IpAddr,
        tls: Option<ControlTls>,
        server: ImaginedServer,
        moment: SystemTime,
        size_bytes: u64,
    ) -> (Self, Exchange) {
        let now = Now { monotonic: Duration::ZERO, wall: moment };
        let peer = Client { address: client, features: Arc::new(FeatureSet::parse(&features())) };
        let session = Session::new(Arc::new(settings), peer, now);
        let mut rehearsal = Self {
            session,
            server,
            now,
            client,
            tls,
            size_bytes,
            destination: None,
            replies: Vec::new(),
            facts: Vec::new(),
            is_transfer_open: false,
        };
        let exchange = rehearsal.play();
        (rehearsal, exchange)
    }

    /// The client sends a command, and the session comes to rest again.
    pub(super) fn say(&mut self, command: &Command) -> Exchange {
        self.server.expect(command);
        self.session.handle_command(Ok(command.clone()), self.now);
        self.play()
    }

    pub(super) fn is_over(&self) -> bool {
        self.session.is_closed()
    }

    /// What the next command would be judged by.
    pub(super) fn standing(&self) -> Standing {
        let mut standing = self.session.standing();
        // Where paths do not count, nobody keeps account of the directory but the server.
        standing.directory = standing.directory.or_else(|| self.server.directory());
        standing
    }

    /// Where the last USER led.
    pub(super) fn destination(&self) -> Option<&Destination> {
        self.destination.as_ref()
    }

    fn play(&mut self) -> Exchange {
        loop {
            while let Some(action) = self.session.poll_action() {
                self.act(action);
            }
            if !std::mem::take(&mut self.is_transfer_open) {
                break;
            }
            self.session.handle_reply(Reply::new(226, "done: the server's own answer"), self.now);
        }
        self.facts.extend(std::iter::from_fn(|| self.session.poll_fact()));
        let replies = std::mem::take(&mut self.replies);
        Exchange {
            reply: replies.into_iter().rfind(|reply| reply.code().value() >= 200),
            facts: std::mem::take(&mut self.facts),
            asked: self.server.asked(),
        }
    }

    fn act(&mut self, action: Action) {
        let (session, now) = (&mut self.session, self.now);
        match action {
            Action::Reply(reply) => self.replies.push(reply),
            Action::UpgradeDownstream(reply) => {
                self.replies.push(reply);
                self.shake_hands();
            }
            Action::AcceptTls => self.shake_hands(),
            Action::ConnectUpstream(destination) => {
                self.destination = Some(destination);
                session.handle_upstream_connected(UpstreamInfo { server: NOWHERE, prefer_pasv: false });
                session.handle_reply(Reply::new(220, "ready"), now);
            }
            Action::SecureUpstream => session.handle_upstream_secured(now),
            Action::SendUpstream(command) if command.verb() == Verb::Auth => {
                session.handle_reply(Reply::new(234, "go"), now);
            }
            Action::SendUpstream(command) => {
                let reply = self.server.answer(&command);
                session.handle_reply(reply, now);
            }
            // Limits are not asked about.
            Action::AdmitClient => session.handle_client_admitted(None, now),
            Action::JudgeLogin => session.handle_login_judged(LoginVerdict::Try, now),
            Action::AdmitUser => session.handle_user_admitted(None, now),
            Action::AdmitTransfer => session.handle_transfer_admitted(None, now),
            Action::LeasePort => {
                session.handle_port_leased(Ok(SocketAddr::new(self.client, DATA_PORT)), now);
            }
            Action::LeaseUpstreamPort => session.handle_upstream_port_leased(Ok(NOWHERE), now),
            Action::DialBackendData(_) => session.handle_backend_dialled(true, now),
            Action::StartRelay(order) => {
                let bytes = match order.direction {
                    Direction::Upload => self.size_bytes,
                    Direction::Download => 0,
                };
                let (bytes, end) = match order.bytes_max.filter(|most| *most < bytes) {
                    Some(most) => (most, RelayEnd::TooLarge(order.direction)),
                    None => (bytes, RelayEnd::Complete),
                };
                self.is_transfer_open = true;
                session.handle_progress(bytes, true);
                let report = RelayReport { bytes, end, tls: None, upstream_tls: None };
                session.handle_relay_finished(report, now);
            }
            // The transfer was given up: its end is not told any more.
            Action::AbortUpstream(_) | Action::CancelRelay => self.is_transfer_open = false,
            Action::FinishDownload => session.handle_download_finished(true, now),
            Action::RenewUpstream
            | Action::SettleRenewal(_)
            | Action::SetClientAddress(_)
            | Action::BoundRelay(_)
            | Action::DiscardData
            | Action::WithdrawData
            | Action::ResetDownload
            | Action::Close => {}
        }
    }

    fn shake_hands(&mut self) {
        match self.tls.clone() {
            Some(tls) => self.session.handle_tls_established(tls),
            None => self.session.handle_tls_failed(),
        }
    }
}

/// An address that is not dialled.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DATA_PORT);
const DATA_PORT: u16 = 61_000;
