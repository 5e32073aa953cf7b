use std::sync::Arc;

use ftpsgate_certs::Pin;
use ftpsgate_ftp::client::{Login, Plan};
use ftpsgate_ftp::codec::Command;
use rustls::sign::CertifiedKey;

use super::*;
use crate::backend::testing::{FtpServer, Manners, backend_config, server_tls};
use crate::config::{BackendCa, BackendTls, TlsVersion};
use crate::tls::BackendProfile;
use crate::tls::testing::certified_key;

/// A backend that believes in this key and no other.
fn pinned(server: &FtpServer, key: &CertifiedKey) -> Backend {
    let pin = Pin::of(&key.cert[0]).unwrap();
    let tls = BackendTls {
        mode: BackendTlsMode::Explicit,
        protects_data: true,
        ca: BackendCa::PinsAlone,
        pins: vec![*pin.as_bytes()],
        server_name: None,
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls12,
        danger_accept_invalid_certificates: false,
        client_certificate: None,
        require_ems: false,
    };
    let profile = BackendProfile::new(&tls).unwrap();
    let mut config = backend_config(&[server.address]);
    config.tls = Some(tls);
    Backend::new(Arc::new(config), Some(Arc::new(profile)), None)
}

fn two_listings() -> Client {
    let list = || Command::bare(Verb::List);
    let plan = Plan::new().secure().login(Login::new("monitor", "canary-pw").unwrap());
    Client::new(plan.protect(Protection::Private).download(list()).download(list()).quit())
}

async fn look(backend: &Backend, client: Client) -> (Seen, Result<(), VisitError>) {
    let mut seen = Seen::default();
    let result = visit(backend, &backend.servers()[0], client, &mut seen).await;
    (seen, result)
}

#[tokio::test]
async fn listings_resume_the_control_connections_tls() {
    let key = certified_key();
    let server = FtpServer::start(Manners { tls: Some(server_tls(&key)), ..Manners::GOOD }).await;
    let (seen, result) = look(&pinned(&server, &key), two_listings()).await;
    result.unwrap();
    assert_eq!(seen.tls.unwrap().certificate, key.cert[0]);
    let expected = DataSeen { opened_by: Verb::Epsv, bytes: 34, is_resumed: Some(true) };
    assert_eq!(seen.data, [expected; 2]);
}

#[tokio::test]
async fn a_listing_that_is_cut_off_is_none() {
    let key = certified_key();
    let manners = Manners { tls: Some(server_tls(&key)), cuts_listings: true, ..Manners::GOOD };
    let server = FtpServer::start(manners).await;
    let (seen, result) = look(&pinned(&server, &key), two_listings()).await;
    assert!(matches!(result.unwrap_err().cause, VisitCause::Data(_)));
    assert!(seen.is_logged_in && seen.data.is_empty());
}

#[tokio::test]
async fn who_refuses_auth_or_has_another_key_hears_no_user() {
    let (key, other) = (certified_key(), certified_key());
    for tls in [None, Some(server_tls(&other))] {
        let server = FtpServer::start(Manners { tls, ..Manners::GOOD }).await;
        let (seen, result) = look(&pinned(&server, &key), two_listings()).await;
        assert!(result.is_err() && seen.reached.is_some() && !seen.is_logged_in);
        assert_eq!(server.lines(), ["AUTH TLS"]);
    }
}

#[tokio::test]
async fn a_visit_that_fails_still_tells_what_worked() {
    let server = FtpServer::start(Manners::GOOD).await;
    let backend = Backend::new(Arc::new(backend_config(&[server.address])), None, None);
    let login = Login::new("monitor", "wrong").unwrap();
    let plan = Plan::new().ask(Command::bare(Verb::Feat)).login(login).quit();
    let (seen, result) = look(&backend, Client::new(plan)).await;
    assert_eq!(result.unwrap_err().to_string(), "PASS: refused with \"530 Wrong\"");
    assert!(seen.greeting.is_some() && seen.features.is_some() && !seen.is_logged_in);
}
