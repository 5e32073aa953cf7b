//! The one loop of a session: it carries out what the session machine asks for, and tells it what has happened.
//!
//! It holds no protocol knowledge. One task runs it; dropping the task ends everything that the session owns.

mod alarm;
pub(crate) mod audit;
mod data;
mod handshake;
mod link;
mod record;
mod transfer;
mod upstream;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ftpsgate_ftp::codec::{Command, Reply};
use ftpsgate_ftp::session::{Action, Client, Direction, Fact, Now, PortError, Session};
use ftpsgate_policies::{Policy, Subject, limit};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use crate::control::{ClientLine, Downstream, NotDrained, Unsolicited};
use crate::limits::Ticket;
use crate::proxy_protocol::Endpoints;
use crate::service::Service;
use crate::tls::HandshakeError;
use alarm::Alarm;
use audit::Auditor;
use data::{DataEvent, DataPlane};
use handshake::{Secured, Securing};
use upstream::{UpstreamEvent, UpstreamSide};

/// What the process as a whole is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Serving.
    Running,
    /// Sessions end as soon as no transfer is cut off.
    Draining,
    /// Sessions end now.
    Stopping,
}

/// One session, with its sockets.
struct Driver {
    service: Arc<Service>,
    /// Its part in the process's limits.
    ticket: Ticket,
    session: Session,
    /// Of a password that waits until others are no longer tried.
    turn: Option<Box<watch::Receiver<()>>>,
    downstream: Downstream,
    /// The TLS handshake with the client, which has the socket meanwhile.
    securing: Option<Securing>,
    upstream: UpstreamSide,
    data: DataPlane,
    stage: watch::Receiver<Stage>,
    policies: watch::Receiver<Arc<Policy>>,
    alarm: Alarm,
    /// What [`Now::monotonic`] counts from.
    epoch: Instant,
    auditor: Auditor,
}

/// What the loop waits for.
enum Event {
    Client(ClientLine),
    ClientWritten(io::Result<()>),
    Secured(Result<Box<Secured>, HandshakeError>),
    Server(UpstreamEvent),
    Data(DataEvent),
    Deadline,
    Stage,
    Policy,
    /// A password may be tried that waits.
    Turn,
}

/// Runs a session to its end.
pub async fn run(
    service: Arc<Service>,
    ticket: Ticket,
    stream: TcpStream,
    (id, ends): (Uuid, Endpoints),
    stage: watch::Receiver<Stage>,
) {
    // The connection's own end: a balancer's client has dialled another.
    let Ok(local) = stream.local_addr() else { return };
    let Endpoints { client, dialled } = ends;
    let epoch = Instant::now();
    let address = client.ip().to_canonical();
    info!(local = %dialled, "session opened");
    let now = Now { monotonic: Duration::ZERO, wall: SystemTime::now() };
    let machine_client = Client { address, features: service.common_features() };
    let driver = Driver {
        session: Session::new(Arc::clone(&service.settings), machine_client, now),
        downstream: Downstream::plain(stream, service.listener.max_line),
        ticket,
        turn: None,
        securing: None,
        upstream: UpstreamSide::new(Arc::clone(&service), ends),
        data: DataPlane::new(Arc::clone(&service), address, local, dialled),
        stage,
        policies: service.policies.clone(),
        alarm: Alarm::new(epoch),
        epoch,
        auditor: Auditor::new(id),
        service,
    };
    let mut driver = Box::new(driver);
    driver.drive().await;
    Box::pin(driver.close()).await;
}

impl Driver {
    async fn drive(&mut self) {
        loop {
            // What has happened is written down before anybody is told.
            self.record();
            while let Some(action) = self.session.poll_action() {
                self.perform(action);
                self.record();
            }
            if self.session.is_closed() {
                return;
            }
            if !self.service.journal.has_room() {
                Box::pin(self.wait_for_room()).await;
            }
            let event = self.next_event().await;
            self.tell(event);
        }
    }

    /// Nothing is done that could not be recorded, unless the process ends now: what that leads to is recorded for as
    /// long as there is memory, for it is little.
    async fn wait_for_room(&mut self) {
        // A receiver of its own: the loop is still to see what has changed.
        let mut stage = self.stage.clone();
        // Both arms look at something shared; nothing is lost with them.
        select! {
            () = self.service.journal.room() => {}
            _ = stage.wait_for(|stage| *stage == Stage::Stopping) => {}
        }
    }

    /// Every arm may be cancelled: streams keep what they have read, jobs live in `self`.
    async fn next_event(&mut self) -> Event {
        let deadline = self.session.poll_timeout().map(|deadline| self.epoch + deadline);
        let hears_client = self.session.wants_command();
        let is_congested = self.downstream.is_congested();
        let Self { downstream, securing, turn, upstream, data, stage, policies, alarm, .. } = self;
        // A stream is read or written at one time, not both: what is written is small, and comes first. Deadlines go
        // before everything that a peer could do without end.
        select! {
            biased;
            Ok(()) = stage.changed() => Event::Stage,
            Ok(()) = policies.changed() => Event::Policy,
            () = alarm.rings(deadline) => Event::Deadline,
            event = data.next_event() => Event::Data(event),
            secured = async {
                match securing {
                    Some(job) => job.await,
                    None => std::future::pending().await,
                }
            } => Event::Secured(secured),
            () = async {
                match turn {
                    // The limits outlive every session.
                    Some(turn) => _ = turn.changed().await,
                    None => std::future::pending().await,
                }
            } => Event::Turn,
            event = upstream.next_event(!is_congested) => Event::Server(event),
            event = async {
                if downstream.has_output() {
                    Event::ClientWritten(downstream.flush().await)
                } else if hears_client {
                    Event::Client(downstream.next_line().await)
                } else {
                    std::future::pending().await
                }
            } => event,
        }
    }

    fn tell(&mut self, event: Event) {
        let now = self.now();
        if let Some(progress) = self.data.progress() {
            self.session.handle_progress(progress.bytes(), progress.source_ended());
        }
        self.session.handle_data_tickets(self.upstream.data_tickets());
        self.session.handle_file_limit(self.ticket.file_bytes_max());
        match event {
            Event::Client(ClientLine::Line(line)) => {
                if let Some(limit) = self.ticket.refuses_command() {
                    return self.session.handle_limit_exceeded(limit, now);
                }
                match line {
                    Ok(line) => self.session.handle_command(Command::parse(&line), now),
                    Err(error) => self.session.handle_line_error(error, now),
                }
                self.session.handle_line_progress(false, now);
            }
            Event::Client(ClientLine::Partial(is_partial)) => {
                self.session.handle_line_progress(is_partial, now);
            }
            Event::Client(ClientLine::Ended) => self.session.handle_downstream_ended(now),
            Event::Client(ClientLine::Closed) => self.session.handle_downstream_closed(now),
            Event::ClientWritten(Ok(())) => {}
            Event::ClientWritten(Err(_)) => self.session.handle_downstream_closed(now),
            Event::Secured(secured) => self.handle_secured(secured),
            Event::Server(event) => self.tell_of_server(event, now),
            Event::Data(DataEvent::Leased(leased)) => self.session.handle_port_leased(leased, now),
            Event::Data(DataEvent::LeaseExpired) => self.session.handle_lease_expired(now),
            Event::Data(DataEvent::BackendLeased(leased)) => {
                self.session.handle_upstream_port_leased(leased, now);
            }
            Event::Data(DataEvent::Dialled(connected)) => self.session.handle_backend_dialled(connected, now),
            Event::Data(DataEvent::RelayFinished(report)) => self.session.handle_relay_finished(report, now),
            Event::Data(DataEvent::DownloadFinished(is_clean)) => {
                self.session.handle_download_finished(is_clean, now);
            }
            Event::Turn => {
                self.turn = None;
                self.judge_login();
            }
            Event::Deadline => self.session.handle_timeout(now),
            Event::Policy => {
                let policy = Arc::clone(&self.policies.borrow_and_update());
                self.session.handle_policy_changed(policy, now);
            }
            Event::Stage => match *self.stage.borrow_and_update() {
                Stage::Running => {}
                Stage::Draining => self.session.handle_drain(now),
                Stage::Stopping => self.session.handle_kill(now),
            },
        }
    }

    fn tell_of_server(&mut self, event: UpstreamEvent, now: Now) {
        match event {
            UpstreamEvent::Placed => self.session.handle_upstream_placed(now),
            UpstreamEvent::Connected(info) => self.session.handle_upstream_connected(info),
            UpstreamEvent::Secured => self.session.handle_upstream_secured(now),
            UpstreamEvent::Failed(failure) => self.session.handle_upstream_failed(failure, now),
            UpstreamEvent::Reply(Some(Ok(reply))) => self.session.handle_reply(reply, now),
            UpstreamEvent::Reply(Some(Err(error))) => self.session.handle_reply_error(error, now),
            UpstreamEvent::Written(Ok(())) => {}
            UpstreamEvent::Reply(None) | UpstreamEvent::Written(Err(_)) => {
                self.upstream.lose();
                self.session.handle_upstream_closed(now);
            }
        }
    }

    fn handle_secured(&mut self, secured: Result<Box<Secured>, HandshakeError>) {
        self.securing = None;
        match secured {
            Ok(secured) => {
                let Secured { tls, stream, control } = *secured;
                self.downstream.secure(stream);
                self.data.tls = Some(Arc::new(tls));
                self.session.handle_tls_established(control);
            }
            Err(error) => {
                match error {
                    // Scanners and balancers that only look whether the port is open, too.
                    HandshakeError::ClosedBefore | HandshakeError::ClosedDuring | HandshakeError::Reset => {
                        info!(client = %self.ends().client, %error, "tls handshake failed");
                    }
                    HandshakeError::Tls(_) | HandshakeError::Deadline | HandshakeError::Io(_) => {
                        warn!(client = %self.ends().client, %error, "tls handshake failed")
                    }
                }
                self.session.handle_tls_failed();
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply(reply) => self.downstream.reply(&reply),
            Action::UpgradeDownstream(reply) => self.upgrade(reply),
            Action::AcceptTls => match self.downstream.take_unread() {
                Some(stream) => {
                    self.securing =
                        Some(handshake::at_once(Arc::clone(&self.service), stream, self.ends().dialled));
                }
                None => self.session.handle_tls_failed(),
            },
            Action::ConnectUpstream(destination) => self.upstream.connect(destination),
            Action::RenewUpstream => self.upstream.renew(),
            Action::SettleRenewal(with_new) => self.upstream.settle(with_new),
            Action::SecureUpstream => self.upstream.secure(),
            Action::SendUpstream(command) => match self.upstream.lines().map(|lines| lines.send(&command)) {
                Some(Err(Unsolicited { goodbye: Some(reply) })) => {
                    self.session.handle_reply(reply, self.now());
                }
                Some(Err(Unsolicited { goodbye: None })) => {
                    self.session.handle_desynchronised(self.now());
                }
                Some(Ok(())) | None => {}
            },
            Action::AbortUpstream(command) => {
                if let Some(lines) = self.upstream.lines() {
                    lines.send_regardless(&command);
                }
            }
            Action::AdmitClient => {
                let refused_by = self.ticket.refuses(self.session.subject());
                self.session.handle_client_admitted(refused_by, self.now());
            }
            Action::JudgeLogin => self.judge_login(),
            Action::AdmitUser => {
                let refused_by = self.ticket.refuses(self.session.subject());
                self.session.handle_user_admitted(refused_by, self.now());
            }
            Action::AdmitTransfer => {
                let refused_by = self.ticket.refuses_transfer();
                self.session.handle_transfer_admitted(refused_by, self.now());
            }
            Action::LeasePort => self.data.lease(),
            Action::SetClientAddress(address) => self.data.set_client_address(address),
            Action::LeaseUpstreamPort => match self.upstream.target() {
                Some(target) => self.data.lease_for_backend(target),
                None => self.session.handle_upstream_port_leased(Err(PortError::NoneFree), self.now()),
            },
            Action::DialBackendData(port) => match self.upstream.target() {
                Some(target) => self.data.dial(target, port),
                None => self.session.handle_backend_dialled(false, self.now()),
            },
            Action::WithdrawData => self.data.withdraw(),
            Action::DiscardData | Action::CancelRelay | Action::ResetDownload => self.data.discard(),
            Action::StartRelay(order) => {
                let direction = match order.direction {
                    Direction::Upload => limit::Direction::Upload,
                    Direction::Download => limit::Direction::Download,
                };
                self.data.start(order, self.ticket.throttle(direction));
            }
            Action::BoundRelay(bytes_max) => self.data.bound(bytes_max),
            Action::FinishDownload => self.data.finish(),
            Action::Close => {}
        }
    }

    /// Whether the client's password may be tried; if that is not known yet, when others' are no longer tried.
    fn judge_login(&mut self) {
        match self.ticket.judge_login(self.session.subject()) {
            Ok(verdict) => self.session.handle_login_judged(verdict, self.now()),
            Err(turn) => self.turn = Some(Box::new(turn)),
        }
    }

    /// AUTH: nothing may have been said behind it.
    fn upgrade(&mut self, reply: Reply) {
        match self.downstream.drain() {
            Ok(drained) => {
                let service = Arc::clone(&self.service);
                self.securing = Some(handshake::after(reply, service, drained, self.ends().dialled));
            }
            Err(NotDrained::PlaintextInjection) => self.session.handle_plaintext_injection(),
            Err(NotDrained::Closed) => self.session.handle_downstream_closed(self.now()),
        }
    }

    fn record(&mut self) {
        while let Some(mut fact) = self.session.poll_fact() {
            if let Fact::CommandFinished(record) = &mut fact
                && record.is_refused_by_unnamed_limit()
            {
                record.limit = self.ticket.report_file_size();
            }
            if let Fact::LoginFailed { user, .. } = &fact {
                let subject = Subject { user: user.clone(), ..self.session.subject().clone() };
                self.ticket.login_failed(&subject);
            }
            if let Fact::LoginUndecided { .. } | Fact::LoginAbandoned = &fact {
                self.ticket.login_ended();
            }
            let ends = *self.ends();
            self.auditor.append(&fact, ends, &self.session, &self.service);
            if let Fact::CommandFinished(record) = &fact
                && record.transfer.is_some()
            {
                self.ticket.transfer_finished();
            }
            record::record(fact, self.session.user(), &self.service, &self.upstream);
        }
    }

    async fn close(self: Box<Self>) {
        let Self { mut data, upstream, downstream, securing, .. } = *self;
        data.discard();
        drop(securing);
        tokio::join!(upstream.close(), downstream.close(FAREWELL));
    }

    /// The client, and what it dialled.
    fn ends(&self) -> &Endpoints {
        self.upstream.behind()
    }

    fn now(&self) -> Now {
        Now { monotonic: self.epoch.elapsed(), wall: SystemTime::now() }
    }
}

/// For last words.
const FAREWELL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand idle sessions are a thousand of each.
    #[test]
    fn an_idle_session_is_a_small_task_and_a_small_driver() {
        let task = size_of_future(run);
        assert!(task <= 1024, "{task}");
        assert!(size_of::<Driver>() <= 2048, "{}", size_of::<Driver>());
    }

    fn size_of_future<A, B, C, D, E, F: Future>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }
}
