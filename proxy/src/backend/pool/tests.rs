use std::net::SocketAddr;

use ftpsgate_ftp::session::RequestedServer;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::backend::testing::{backend_config, listening, refusing};
use crate::config;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

fn backend(addresses: &[SocketAddr], change: impl FnOnce(&mut config::Backend)) -> Arc<Backend> {
    let mut config = backend_config(addresses);
    change(&mut config);
    Arc::new(Backend::new(Arc::new(config), None, None))
}

/// What a session has of its server.
#[derive(Debug)]
struct ServerConnection {
    stream: TcpStream,
    server: Arc<Server>,
    _place: Place,
}

async fn connect(attempt: &Attempt) -> Result<ServerConnection, UpstreamFailure> {
    connect_to(attempt, None).await
}

async fn connect_to(
    attempt: &Attempt,
    requested: Option<&RequestedServer>,
) -> Result<ServerConnection, UpstreamFailure> {
    let place = attempt.place(CLIENT, b"alice", requested).await?;
    let server = Arc::clone(place.server());
    let trial = Trial::new(&attempt.backend, Arc::clone(&server));
    match attempt.backend.dial(&server).await {
        Ok(stream) => {
            trial.succeed();
            Ok(ServerConnection { stream, server, _place: place })
        }
        Err(error) => Err(trial.fail(error)),
    }
}

fn spawn_connect(backend: &Arc<Backend>) -> JoinHandle<Result<ServerConnection, UpstreamFailure>> {
    let attempt = backend.attempt();
    tokio::spawn(async move { connect(&attempt).await })
}

#[tokio::test]
async fn a_login_tries_each_server_once() {
    let (_one, address) = listening().await;
    let (_closed, closed) = refusing();
    let backend = backend(&[closed, address], |config| config.balance = config::Balance::First);
    let attempt = backend.attempt();
    assert_eq!(connect(&attempt).await.unwrap_err(), UpstreamFailure::Unreachable);
    let connection = connect(&attempt).await.unwrap();
    assert_eq!(connection.server.address().port, address.port());
    assert_eq!(connection.stream.peer_addr().unwrap(), address);
    assert_eq!(connect(&attempt).await.unwrap_err(), UpstreamFailure::NoServer);
}

#[tokio::test]
async fn a_server_that_refuses_again_and_again_is_down_and_left_alone() {
    let (_one, address) = listening().await;
    let (_closed, closed) = refusing();
    let backend = backend(&[closed, address], |config| config.balance = config::Balance::First);
    for _ in 0..3 {
        assert_eq!(connect(&backend.attempt()).await.unwrap_err(), UpstreamFailure::Unreachable);
    }
    assert!(!backend.servers()[0].is_up());
    assert_eq!(connect(&backend.attempt()).await.unwrap().server.address().port, address.port());
}

#[tokio::test]
async fn where_all_are_down_those_without_checks_are_tried() {
    let ((_one, one), (_other, other)) = (refusing(), refusing());
    let backend = backend(&[one, other], |config| {
        config.balance = config::Balance::First;
        config.check.kind = config::CheckKind::Off;
    });
    for _ in 0..4 {
        let attempt = backend.attempt();
        assert_eq!(connect(&attempt).await.unwrap_err(), UpstreamFailure::Unreachable);
        assert_eq!(connect(&attempt).await.unwrap_err(), UpstreamFailure::Unreachable);
        assert_eq!(connect(&attempt).await.unwrap_err(), UpstreamFailure::NoServer);
    }
    assert!(backend.servers().iter().all(|server| !server.is_up()));
}

#[tokio::test]
async fn where_checks_found_all_servers_down_none_is_tried() {
    let (_one, one) = listening().await;
    let backend = backend(&[one], |_| {});
    for _ in 0..3 {
        backend.servers()[0].failed(crate::backend::health::Observer::Check, "test");
    }
    assert_eq!(connect(&backend.attempt()).await.unwrap_err(), UpstreamFailure::NoServer);
}

#[tokio::test]
async fn a_session_without_room_waits_and_those_who_wait_are_served_in_order() {
    let (_one, address) = listening().await;
    let backend = backend(&[address], |config| config.max_sessions = 1);
    let first = connect(&backend.attempt()).await.unwrap();
    let second = spawn_connect(&backend);
    waiters(&backend, 1).await;
    let third = spawn_connect(&backend);
    waiters(&backend, 2).await;
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert!(!third.is_finished());
    assert_eq!(backend.servers()[0].sessions(), 1);
    drop(second);
    let third = third.await.unwrap().unwrap();
    drop(third);
    assert_eq!(backend.servers()[0].sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_for_room_no_longer_than_half_of_connect_timeout() {
    let (_one, address) = listening().await;
    let backend = backend(&[address], |config| config.max_sessions = 1);
    let _first = connect(&backend.attempt()).await.unwrap();
    let began = Instant::now();
    assert_eq!(connect(&backend.attempt()).await.unwrap_err(), UpstreamFailure::Full);
    let waited = began.elapsed();
    let patience = backend.config().connect_timeout / 2;
    assert!(waited >= patience && waited < patience + Duration::from_millis(10), "{waited:?}");
    assert_eq!(backend.queue.waiters().list.len(), 0);
}

/// Wherever a session ends while it waits, its place is not lost.
#[tokio::test]
async fn a_place_that_was_granted_to_who_left_goes_on() {
    let (_one, address) = listening().await;
    let backend = backend(&[address], |config| config.max_sessions = 1);
    let first = connect(&backend.attempt()).await.unwrap();
    let key = Key { client: CLIENT, user: b"" };
    let (one, other) = (backend.attempt(), backend.attempt());
    let Chosen::Wait(leaves) = one.choose(key) else { panic!("there is room") };
    let Chosen::Wait(stays) = other.choose(key) else { panic!("there is room") };
    drop(first);
    drop(leaves);
    let deadline = Instant::now() + Duration::from_secs(5);
    let Waited::Place(place) = stays.place(deadline).await else { panic!("the place is lost") };
    assert_eq!(backend.servers()[0].sessions(), 1);
    drop(place);
    assert_eq!(backend.servers()[0].sessions(), 0);
}

#[tokio::test]
async fn who_gave_up_is_passed_over() {
    let (_one, address) = listening().await;
    let backend = backend(&[address], |config| config.max_sessions = 1);
    let first = connect(&backend.attempt()).await.unwrap();
    let second = spawn_connect(&backend);
    waiters(&backend, 1).await;
    second.abort();
    assert!(second.await.is_err());
    assert_eq!(backend.queue.waiters().list.len(), 0);
    drop(first);
    assert_eq!(backend.servers()[0].sessions(), 0);
    connect(&backend.attempt()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_comes_up_is_used_by_those_who_wait_for_another() {
    let ((_one, one), (_other, other)) = (listening().await, listening().await);
    let backend = backend(&[one, other], |config| config.max_sessions = 1);
    let second = &backend.servers()[1];
    for _ in 0..3 {
        second.report_failure("test");
    }
    let _first = connect(&backend.attempt()).await.unwrap();
    let waiting = spawn_connect(&backend);
    waiters(&backend, 1).await;
    for _ in 0..2 {
        second.passed(crate::backend::health::Observer::Check);
    }
    assert_eq!(waiting.await.unwrap().unwrap().server.address().port, other.port());
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_servers_that_stay() {
    let ((_one, one), (_other, other)) = (listening().await, listening().await);
    let old = backend(&[one], |config| config.max_sessions = 1);
    old.servers()[0].remember_epsv_refused();
    let first = connect(&old.attempt()).await.unwrap();
    for _ in 0..3 {
        old.servers()[0].report_failure("test");
    }
    let mut changed = backend_config(&[other, one]);
    changed.max_sessions = 1;
    changed.balance = config::Balance::First;
    let new = Arc::new(Backend::new(Arc::new(changed), None, Some(&old)));
    let [fresh, stayed] = new.servers() else { panic!("two servers") };
    assert!(fresh.is_up() && !fresh.prefers_pasv());
    assert!(!stayed.is_up() && stayed.prefers_pasv() && stayed.sessions() == 1);
    let _second = connect(&new.attempt()).await.unwrap();
    drop(first);
    assert_eq!(stayed.sessions(), 0);
}

/// The limit of the present configuration counts, also for places that were taken under another.
#[tokio::test]
async fn a_lower_limit_holds_for_those_who_wait() {
    let (_one, address) = listening().await;
    let old = backend(&[address], |config| config.max_sessions = 2);
    let (first, second) = (connect(&old.attempt()).await.unwrap(), connect(&old.attempt()).await.unwrap());
    let mut changed = backend_config(&[address]);
    changed.max_sessions = 1;
    let new = Arc::new(Backend::new(Arc::new(changed), None, Some(&old)));
    let third = spawn_connect(&new);
    waiters(&new, 1).await;
    drop(first);
    assert_eq!(new.queue.waiters().list.len(), 1);
    drop(second);
    third.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_named_server_is_dialled_and_no_other() {
    let ((_one, one), (_other, other)) = (listening().await, listening().await);
    let backend = backend(&[one], |_| {});
    let named = |port| Some(RequestedServer { host: "127.0.0.1".to_owned(), port });
    let to = async |requested: Option<RequestedServer>| {
        let attempt = backend.attempt();
        let connected = connect_to(&attempt, requested.as_ref()).await?;
        assert_eq!(connect_to(&attempt, requested.as_ref()).await.unwrap_err(), UpstreamFailure::NoServer);
        Ok::<_, UpstreamFailure>(connected.stream.peer_addr().unwrap())
    };
    assert_eq!(to(named(None)).await, Ok(one), "the port that is configured for the name");
    assert_eq!(to(named(Some(other.port()))).await, Ok(other));
    let unknown = RequestedServer { host: "ftp.example".to_owned(), port: None };
    assert_eq!(backend.requested(&unknown).address().port, 21);
}

/// A session's own deadline may end the search a moment before ours does.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_silent_until_the_session_gave_up_has_failed() {
    let (_closed, closed) = refusing();
    let backend = backend(&[closed], |_| {});
    let server = &backend.servers()[0];
    for _ in 0..3 {
        let trial = Trial::new(&backend, Arc::clone(server));
        tokio::time::advance(backend.config().connect_timeout).await;
        drop(trial);
    }
    assert!(!server.is_up());
}

/// A server that was told whom we come for may turn away that client alone.
#[tokio::test(start_paused = true)]
async fn a_client_that_a_server_turns_away_does_not_take_it_away_from_others() {
    let (_closed, closed) = refusing();
    let backend = backend(&[closed], |_| {});
    let server = &backend.servers()[0];
    for _ in 0..5 {
        let mut trial = Trial::new(&backend, Arc::clone(server));
        trial.excuse();
        assert_eq!(trial.fail("you are banned"), UpstreamFailure::Unreachable);
        let mut trial = Trial::new(&backend, Arc::clone(server));
        trial.excuse();
        tokio::time::advance(backend.config().connect_timeout).await;
        drop(trial);
    }
    assert!(server.is_up());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_early_says_nothing_about_the_server() {
    let (_closed, closed) = refusing();
    let backend = backend(&[closed], |_| {});
    for _ in 0..10 {
        drop(Trial::new(&backend, Arc::clone(&backend.servers()[0])));
    }
    assert!(backend.servers()[0].is_up());
}

/// Until so many wait.
async fn waiters(backend: &Backend, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while backend.queue.waiters().list.len() != count {
        assert!(Instant::now() < deadline, "they do not wait");
        tokio::task::yield_now().await;
    }
}
