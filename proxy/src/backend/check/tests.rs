use std::io::Write;
use std::net::SocketAddr;

use super::*;
use crate::backend::testing::{FtpServer, Manners, backend_config, refusing};
use crate::config;

fn backend(server: SocketAddr, kind: CheckKind) -> Arc<Backend> {
    let mut config = backend_config(&[server]);
    config.check = config::Check { kind, every: Duration::from_millis(5), fall: 3, rise: 2 };
    config.connect_timeout = Duration::from_millis(500);
    Arc::new(Backend::new(Arc::new(config), None, None))
}

fn monitor(password: &str, path: Option<&str>) -> (tempfile::NamedTempFile, CheckLogin) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(password.as_bytes()).unwrap();
    let login = CheckLogin {
        user: "monitor".to_owned(),
        password_file: file.path().to_owned(),
        path: path.map(str::to_owned),
    };
    (file, login)
}

/// As many checks as it takes, and one less does not do.
async fn falls(backend: &Backend) {
    let server = &backend.servers()[0];
    for _ in 0..3 {
        assert!(server.is_up());
        check_and_report(backend, server).await;
    }
    assert!(!server.is_up());
}

async fn rises(backend: &Backend) {
    let server = &backend.servers()[0];
    for _ in 0..2 {
        assert!(!server.is_up());
        check_and_report(backend, server).await;
    }
    assert!(server.is_up());
}

#[tokio::test]
async fn a_server_that_is_killed_goes_down_and_comes_up_again() {
    let (socket, address) = refusing();
    let backend = backend(address, CheckKind::Tcp);
    falls(&backend).await;
    socket.listen(16).unwrap();
    rises(&backend).await;
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_goes_down() {
    let server = FtpServer::start(Manners { greeting: None, ..Manners::GOOD }).await;
    let backend = backend(server.address, CheckKind::Greeting);
    falls(&backend).await;
    server.change(|manners| manners.greeting = Some("220 Awake"));
    rises(&backend).await;
}

/// The task goes on by itself, and ends when it is dropped.
#[tokio::test]
async fn a_server_is_looked_after_again_and_again() {
    let server = FtpServer::start(Manners::GOOD).await;
    let backend = backend(server.address, CheckKind::Greeting);
    let checks = look_after(Arc::clone(&backend), Arc::clone(&backend.servers()[0]));
    tokio::select! {
        () = checks => panic!("it ended"),
        () = server.hears(6) => {}
    }
    assert_eq!(server.lines()[..6], ["FEAT", "QUIT", "QUIT", "QUIT", "QUIT", "QUIT"]);
}

#[tokio::test]
async fn a_server_that_greets_with_421_goes_down() {
    let server = FtpServer::start(Manners { greeting: Some("421 Too many"), ..Manners::GOOD }).await;
    let backend = backend(server.address, CheckKind::Greeting);
    let error = check(&backend, &backend.servers()[0]).await.unwrap_err();
    assert_eq!(error.to_string(), "greeting: refused with \"421 Too many\"");
}

/// The one that nobody else sees: port 21 is open, and the data ports are not.
#[tokio::test]
async fn firewalled_data_ports_are_seen_by_a_data_check_and_by_no_other() {
    let server = FtpServer::start(Manners { data_ports_open: false, ..Manners::GOOD }).await;
    let (_file, login) = monitor("canary-pw\n", None);
    for kind in [CheckKind::Tcp, CheckKind::Greeting, CheckKind::Login(login.clone())] {
        let backend = backend(server.address, kind);
        check(&backend, &backend.servers()[0]).await.unwrap();
    }
    let backend = backend(server.address, CheckKind::Data(login));
    let error = check(&backend, &backend.servers()[0]).await.unwrap_err().to_string();
    assert!(error.starts_with("data connection to port ") && error.contains("refused"), "{error}");
    falls(&backend).await;
    server.change(|manners| manners.data_ports_open = true);
    rises(&backend).await;
}

#[tokio::test]
async fn a_data_check_lists_where_it_is_told_to_and_falls_back_to_pasv() {
    let server = FtpServer::start(Manners { has_epsv: false, ..Manners::GOOD }).await;
    let (_file, login) = monitor("canary-pw\r\n", Some("/a directory"));
    let backend = backend(server.address, CheckKind::Data(login));
    check(&backend, &backend.servers()[0]).await.unwrap();
    let expected =
        ["FEAT", "USER monitor", "PASS canary-pw", "CWD /a directory", "EPSV", "PASV", "LIST", "QUIT"];
    assert_eq!(server.lines(), expected);
}

#[tokio::test]
async fn a_password_is_read_at_each_check_and_never_told() {
    let server = FtpServer::start(Manners::GOOD).await;
    let (file, login) = monitor("canary-wrong", None);
    let backend = backend(server.address, CheckKind::Login(login));
    let error = check(&backend, &backend.servers()[0]).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    std::fs::write(file.path(), "canary-pw").unwrap();
    check(&backend, &backend.servers()[0]).await.unwrap();
    std::fs::write(file.path(), "canary\r\nDELE a").unwrap();
    let error = check(&backend, &backend.servers()[0]).await.unwrap_err();
    assert!(matches!(error, CheckError::Unsendable(_)) && !format!("{error:?}").contains("canary"));
    std::fs::write(file.path(), vec![b'a'; 5000]).unwrap();
    let error = check(&backend, &backend.servers()[0]).await.unwrap_err();
    assert!(matches!(error, CheckError::Password { .. }), "{error}");
    file.close().unwrap();
    assert!(matches!(check(&backend, &backend.servers()[0]).await, Err(CheckError::Password { .. })));
}

#[tokio::test]
async fn features_are_learnt_at_the_first_check_and_asked_no_more() {
    let server = FtpServer::start(Manners::GOOD).await;
    let backend = backend(server.address, CheckKind::Greeting);
    let one = &backend.servers()[0];
    for _ in 0..3 {
        check(&backend, one).await.unwrap();
    }
    assert_eq!(server.lines(), ["FEAT", "QUIT", "QUIT", "QUIT"]);
    assert!(one.features().unwrap().has("MLST") && backend.features().has("UTF8"));
    for _ in 0..3 {
        one.report_failure("test");
    }
    check(&backend, one).await.unwrap();
    assert_eq!(server.lines()[4..], ["FEAT", "QUIT"], "it may be another server now");
}

#[tokio::test]
async fn without_checks_features_are_asked_once_and_then_it_is_quiet() {
    let server = FtpServer::start(Manners::GOOD).await;
    let backend = backend(server.address, CheckKind::Off);
    look_after(Arc::clone(&backend), Arc::clone(&backend.servers()[0])).await;
    assert_eq!(server.lines(), ["FEAT", "QUIT"]);
    assert!(backend.features().has("MLST"));
}

/// However long one takes, there is never a second beside it, and it takes no longer than the two timeouts.
#[tokio::test(start_paused = true)]
async fn a_silent_server_has_one_connection_at_a_time() {
    let server = FtpServer::start(Manners { greeting: None, ..Manners::GOOD }).await;
    let backend = backend(server.address, CheckKind::Greeting);
    let began = Instant::now();
    let error = check(&backend, &backend.servers()[0]).await.unwrap_err();
    assert_eq!(error.to_string(), "greeting: no answer in time");
    assert!(began.elapsed() <= backend.config().connect_timeout + Duration::from_millis(5));
}

#[test]
fn a_relative_password_file_that_is_missing_is_an_error_of_its_own() {
    let error = read_password(Path::new("no-such-credential")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
