//! Every matcher of rules over the wire: where it does not match, where it does, and where a reload makes it match, in
//! the middle of a session and in the middle of a transfer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{Gateway, GatewayOptions, PATIENCE};
use ftpsgate_tests::libunftp::LibunftpServer;

/// A gateway that asks for certificates, and who visits it: `anna`, as `acme-7`, under TLS 1.3.
struct Scene {
    authority: Authority,
    server: LibunftpServer,
    gateway: Gateway,
}

impl Scene {
    fn start(matcher: &str) -> Self {
        let authority = Authority::new();
        let server = LibunftpServer::start();
        std::fs::create_dir(server.path("in")).expect("the folder can be written");
        let gateway = Gateway::start(options(&authority, &server, matcher));
        Self { authority, server, gateway }
    }

    fn reload(&self, matcher: &str) {
        let mark = self.gateway.log().mark();
        self.gateway.rewrite_config(options(&self.authority, &self.server, matcher));
        self.gateway.sighup();
        self.gateway.log().wait_since(mark, |event| event.is("reloaded"), PATIENCE).expect("it reloads");
    }

    fn visitor(&self) -> Client {
        let tls = TlsSetup::new(&self.gateway, TlsVersion::Tls13).showing(&self.authority.client("acme-7"));
        let mut client = Client::logged_in(&self.gateway, tls);
        // This server reads names from the directory in which the session was at EPSV.
        client.expect("CWD /in", 250);
        client
    }

    /// A client whose upload is refused, by the rule.
    fn expect_denial(&self, client: &mut Client) {
        let mark = self.gateway.log().mark();
        client.command(&format!("ALLO {BYTES}"));
        let _data = client.open_data();
        let reply = client.command("STOR refused");
        assert!(matches!(reply.code, 552 | 553), "{reply:?}");
        let event = self.gateway.log().wait_since(mark, |event| event.is("denied"), PATIENCE);
        assert_eq!(event.expect("the denial is recorded").text("rule"), "the rule");
        assert!(!self.server.path("in/refused").exists());
    }
}

/// The one rule denies uploads, where its matcher matches.
fn options(authority: &Authority, server: &LibunftpServer, matcher: &str) -> GatewayOptions {
    let operations = if matcher.contains("operations") || matcher.contains("commands") {
        ""
    } else {
        "operations = [\"upload\", \"overwrite\"]\n"
    };
    let policy = format!(
        "[policy]\ndefault = \"allow\"\n\
         [[group]]\nname = \"staff\"\nusers = [\"ann*\"]\n\
         [[group]]\nname = \"guests\"\nusers = [\"guest-*\"]\n\
         [[rule]]\nname = \"the rule\"\naction = \"deny\"\n{operations}{matcher}\n"
    );
    let keys = format!("client_certificates = \"request\"\nclient_ca = {:?}", authority.root_file());
    GatewayOptions::explicit(server.address())
        .another_backend("other", server.address(), "")
        .listener_keys("backend = \"legacy\"")
        .listener(ftpsgate_tests::gateway::ListenerOptions::plain("plain").keys("backend = \"other\""))
        .tls_keys(&keys)
        .extra(&policy)
}

#[track_caller]
fn check(absent: &str, present: &str) {
    let scene = Scene::start(absent);
    let mut client = scene.visitor();
    client.upload("STOR before", CONTENT);
    scene.reload(present);
    scene.expect_denial(&mut client);
    scene.expect_denial(&mut scene.visitor());
    scene.reload(absent);
    client.upload("STOR between", CONTENT);

    let mut data = client.begin_transfer("STOR running");
    data.write(CONTENT);
    scene.reload(present);
    let begun = Instant::now();
    let reply = client.reply();
    assert!(begun.elapsed() < Duration::from_secs(1), "{present}: {:?}", begun.elapsed());
    assert!(reply.code >= 400, "{present}: {reply:?}");
    let event = scene.gateway.wait_named("no longer allowed", PATIENCE);
    assert_eq!((event.text("rule"), event.text("verb")), ("the rule", "STOR"), "{present}");
    drop(data);
    client.expect("NOOP", 200);
}

#[test]
fn users() {
    check("users = [\"bob\"]", "users = [\"an?a\"]");
}

#[test]
fn groups() {
    check("groups = [\"guests\"]", "groups = [\"guests\", \"staff\"]");
}

#[test]
fn from() {
    check("from = [\"127.0.0.2/32\", \"::1/128\"]", "from = [\"127.0.0.0/8\"]");
}

#[test]
fn certificates() {
    check("certificates = [\"CN=acme-8\"]", "certificates = [\"CN=acme-*\"]");
}

#[test]
fn listeners() {
    check("listeners = [\"plain\"]", "listeners = [\"explicit\"]");
}

#[test]
fn backends() {
    check("backends = [\"other\"]", "backends = [\"legacy\"]");
}

#[test]
fn tls() {
    check("tls = \"<1.3\"", "tls = \">=1.3\"");
}

#[test]
fn operations() {
    check("operations = [\"append\"]", "operations = [\"upload\", \"overwrite\", \"append\"]");
}

#[test]
fn commands() {
    check("commands = [\"STOU\"]", "commands = [\"STOR\"]");
}

#[test]
fn paths() {
    check("paths = [\"/in/*.exe\"]", "paths = [\"/in/**\"]");
}

#[test]
fn larger_than() {
    check("larger_than = \"1GiB\"", "larger_than = \"1KiB\"");
}

#[test]
fn hours() {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
    let hour = |ahead: u64| (seconds / 3600 + ahead) % 24;
    // Far from now, whenever that is.
    let other = format!("{:02}:00-{:02}:00", hour(2), hour(23));
    let hours = |hours: &str| format!("hours = \"{hours}\"\ntimezone = \"UTC\"");
    check(&hours(&other), &hours("Mon-Sun"));
}

/// More than the smallest `larger_than`.
const CONTENT: &[u8] = &[7; BYTES];
const BYTES: usize = 4096;
