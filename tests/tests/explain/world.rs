//! What then really happens: a gateway, two servers that say of every reply that it is theirs, and a client that does
//! what clients do.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ftpsgate_tests::authority::Authority;
use ftpsgate_tests::client::{Client, DataConnection, Reply, TlsSetup, TlsVersion};
use ftpsgate_tests::gateway::{CANARY, Event, Gateway, GatewayOptions, ListenerOptions, PATIENCE};
use ftpsgate_tests::scripted::{Flow, Script, ScriptedServer};

use super::questions::{Asked, Tls};
use super::rules::Scenario;

/// The gateway and its servers; one policy after the other is put in place.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    authority: Authority,
    /// Learned once: the log forgets its oldest lines.
    listeners: HashMap<&'static str, SocketAddr>,
    home: Arc<Mutex<&'static str>>,
    server: ScriptedServer,
    second: ScriptedServer,
    /// By what tells one client from another.
    clients: RefCell<HashMap<ClientKind, TlsSetup>>,
}

/// Whether it speaks TLS 1.3, whether it has a certificate, and the name that it asks for.
type ClientKind = (bool, bool, Option<&'static str>);

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    /// The gateway's own reply; `None`: the server's, or none.
    pub(crate) reply: Option<(u16, String)>,
    pub(crate) is_refused: bool,
    /// The rule and its place, as the log has them.
    pub(crate) rule: Option<(String, String)>,
    /// The command came to be said.
    pub(crate) is_asked_for: bool,
}

impl World {
    pub(crate) fn start() -> Self {
        let home = Arc::new(Mutex::new("/"));
        let (server, second) = (server(&home), server(&home));
        let authority = Authority::new();
        let scenario = Scenario { home: "/", second_paths: "unix", toml: String::new() };
        let gateway = Gateway::start(options(&scenario, &server, &second, &authority));
        let names = ["plain", "explicit", "implicit", "open", "at"];
        let listeners = names.into_iter().map(|name| (name, gateway.address(name))).collect();
        Self { gateway, authority, listeners, home, server, second, clients: RefCell::default() }
    }

    /// Puts another scenario in place.
    pub(crate) fn change(&self, scenario: &Scenario) {
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = scenario.home;
        let mark = self.gateway.log().mark();
        self.gateway.rewrite_config(options(scenario, &self.server, &self.second, &self.authority));
        self.gateway.sighup();
        let is_settled = |event: &Event| event.is("reloaded") || event.text("level") == "ERROR";
        let event = self.gateway.log().wait_since(mark, is_settled, PATIENCE).expect("it reloads");
        assert!(event.is("reloaded"), "{event:?}\n{}", scenario.toml);
    }

    /// Does what was asked.
    pub(crate) fn try_out(&self, asked: &Asked) -> Truth {
        let mark = self.gateway.log().mark();
        let (reply, verb, is_asked_for) = self.converse(asked);
        let code = reply.as_ref().map_or(0, |reply| u64::from(reply.code));
        let last = RefCell::new(None);
        let is_over = |event: &Event| {
            let is_denial =
                event.is("denied") || event.is("connection denied") || event.is("no longer allowed");
            let is_verb = verb.is_empty() || event.text("verb") == verb;
            let has_code = event.number("code").is_none_or(|number| number == code);
            if is_denial && is_verb && has_code {
                *last.borrow_mut() = Some(event.clone());
            }
            event.is("session closed")
        };
        self.gateway.log().wait_since(mark, is_over, PATIENCE).expect("the session ends");
        let own = reply.as_ref().filter(|reply| !reply.mentions(MARK));
        let is_refused = reply.is_none() || own.is_some_and(|reply| reply.code >= 400);
        let rule = last.into_inner().filter(|event| is_refused && !event.text("rule").is_empty());
        Truth {
            reply: own.map(|reply| (reply.code, first_text(reply))),
            is_refused,
            rule: rule.map(|event| (event.text("rule").to_owned(), event.text("rule_at").to_owned())),
            is_asked_for,
        }
    }

    /// The reply that decides, the verb that it is to, as the log names it, and whether that was the command.
    fn converse(&self, asked: &Asked) -> (Option<Reply>, &'static str, bool) {
        let from: IpAddr = asked.from.parse().expect("an address");
        let mut client = Client::connect_from(from, self.listeners[asked.listener]);
        let is_implicit = asked.listener == "implicit";
        if is_implicit && client.try_start_tls(self.tls(asked)).is_err() {
            return (None, "", false);
        }
        let Some(greeting) = client.try_reply() else { return (None, "", false) };
        if greeting.code != 220 {
            return (Some(greeting), "", false);
        }
        let is_auth = asked.command.starts_with("AUTH") && asked.user.is_none();
        let is_secure = asked.tls != Tls::None;
        if is_secure && !is_implicit && !is_auth {
            client.auth_tls(self.tls(asked));
        }
        if let Some(host) = asked.host {
            client.command(&format!("HOST {host}"));
        }
        let says_user = asked.command.starts_with("USER");
        if let Some(user) = asked.user.filter(|_| !says_user) {
            if is_secure && !is_implicit {
                client.expect("PBSZ 0", 200);
                client.expect("PROT P", 200);
            }
            let reply = client.command(&format!("USER {user}"));
            if reply.code != 331 {
                return (Some(reply), "USER", false);
            }
            if !asked.command.starts_with("PASS") {
                let reply = client.command(&format!("PASS {CANARY}"));
                if reply.code != 230 {
                    return (Some(reply), "PASS", false);
                }
            }
        }
        let mut data = Vec::new();
        let mut is_prepared = false;
        for command in &asked.before {
            let reply = client.command(command);
            if reply.code == 227 {
                data.push(DataConnection::connect_from(from, reply.passive_address()));
                is_prepared = true;
            }
        }
        let verb = asked.command.split(' ').next().unwrap_or_default();
        let moves_data = ["RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD"].contains(&verb);
        let says_pasv = asked.before.iter().any(|command| command == "PASV");
        if asked.user.is_some() && moves_data && !says_pasv && !is_prepared {
            let reply = client.command("EPSV");
            if reply.code == 229 {
                data.push(self.open(asked, &reply));
            } else if let reply = client.command("PASV")
                && reply.code == 227
            {
                data.push(DataConnection::connect_from(from, reply.passive_address()));
            }
        }
        let mut reply = client.command(&asked.command);
        if (100..200).contains(&reply.code) {
            data.clear();
            reply = client.final_reply();
        }
        // A port that nobody comes to rests for a while.
        match reply.code {
            227 => drop(DataConnection::connect_from(from, reply.passive_address())),
            229 => drop(self.open(asked, &reply)),
            _other => {}
        }
        (Some(reply), canonical(verb), true)
    }

    /// The data connection of a 229.
    fn open(&self, asked: &Asked, reply: &Reply) -> DataConnection {
        let mut address = self.listeners[asked.listener];
        address.set_port(reply.extended_passive_port());
        DataConnection::connect_from(asked.from.parse().expect("an address"), address)
    }

    fn tls(&self, asked: &Asked) -> TlsSetup {
        let is_new = asked.tls == Tls::V13;
        let mut clients = self.clients.borrow_mut();
        let setup = clients.entry((is_new, asked.has_certificate, asked.sni)).or_insert_with(|| {
            let version = if is_new { TlsVersion::Tls13 } else { TlsVersion::Tls12 };
            let setup = TlsSetup::new(&self.gateway, version).without_resumption();
            // An address is no name that TLS would send.
            let setup = setup.named(asked.sni.unwrap_or("127.0.0.1"));
            match asked.has_certificate {
                true => setup.showing(&self.authority.client("acme-7")),
                false => setup,
            }
        });
        setup.clone()
    }
}

fn options(
    scenario: &Scenario,
    server: &ScriptedServer,
    second: &ScriptedServer,
    authority: &Authority,
) -> GatewayOptions {
    let hosts = format!("backend = \"legacy\"\nuser_at_host = [\"127.0.0.1:{}\"]", server.address().port());
    let tls =
        format!("[tls.asking]\nclient_certificates = \"request\"\nclient_ca = {:?}\n", authority.root_file());
    GatewayOptions::new(server.address())
        .listener(many(ListenerOptions::plain("plain")).keys("backend = \"legacy\""))
        .listener(many(ListenerOptions::explicit("explicit")).keys("backend = \"legacy\""))
        .listener(many(ListenerOptions::implicit("implicit")).keys("backend = \"second\""))
        .listener(
            many(ListenerOptions::explicit("open"))
                .keys("require_tls = \"no\"\ntls = \"asking\"\nbackend = \"legacy\""),
        )
        .listener(many(ListenerOptions::plain("at")).keys(&hosts))
        .another_backend("second", second.address(), &format!("paths = \"{}\"", scenario.second_paths))
        .extra(&tls)
        .extra(&scenario.toml)
}

/// A session may end before the gateway has seen its data connection: that port rests then.
fn many(listener: ListenerOptions) -> ListenerOptions {
    listener.data_ports(100)
}

/// A server on which every directory can be entered, and what there is goes by the last part of a name. Nothing is
/// ever changed on it, so that no question depends on the one before.
fn server(home: &Arc<Mutex<&'static str>>) -> ScriptedServer {
    let home = Arc::clone(home);
    let mut script = Script::new()
        .on("PASS", move |session, _| {
            let home = *home.lock().unwrap_or_else(PoisonError::into_inner);
            session.enter(home.as_bytes());
            session.reply(&format!("230 {MARK}"))?;
            Ok(Flow::Continue)
        })
        .on("MLST", |session, argument| {
            let name = std::str::from_utf8(argument).unwrap_or_default();
            match kind(name) {
                Some(kind) => session.reply(&format!("250-{MARK}\r\n type={kind}; x\r\n250 End"))?,
                None => session.reply(&format!("550 {MARK}"))?,
            }
            Ok(Flow::Continue)
        })
        .on("PWD", |session, _| {
            let folder = String::from_utf8_lossy(session.folder()).replace('"', "\"\"");
            session.reply(&format!("257 \"{folder}\" {MARK}"))?;
            Ok(Flow::Continue)
        })
        .on("CWD", |session, argument| {
            let folder = moved(session.folder(), argument);
            session.enter(&folder);
            session.reply(&format!("250 {MARK}"))?;
            Ok(Flow::Continue)
        })
        .on("CDUP", |session, _| {
            let folder = moved(session.folder(), b"..");
            session.enter(&folder);
            session.reply(&format!("250 {MARK}"))?;
            Ok(Flow::Continue)
        })
        .on("SITE", |session, argument| {
            let is_first = argument.len() > 4 && argument[..4].eq_ignore_ascii_case(b"CPFR");
            session.reply(&format!("{} {MARK}", if is_first { 350 } else { 200 }))?;
            Ok(Flow::Continue)
        });
    for (verb, code) in CONSTANT {
        script = script.on(verb, move |session, _| {
            session.reply(&format!("{code} {MARK}"))?;
            Ok(Flow::Continue)
        });
    }
    ScriptedServer::start(script)
}

/// Of transfers nothing is moved: what counts is whether they came here.
const CONSTANT: [(&str, u16); 33] = [
    ("SYST", 215),
    ("USER", 331),
    ("RETR", 450),
    ("STOR", 450),
    ("APPE", 450),
    ("STOU", 450),
    ("LIST", 450),
    ("NLST", 450),
    ("MLSD", 450),
    ("RNFR", 350),
    ("RNTO", 250),
    ("DELE", 250),
    ("RMD", 250),
    ("RMDA", 250),
    ("MKD", 257),
    ("SIZE", 213),
    ("MDTM", 213),
    ("MFMT", 213),
    ("STAT", 213),
    ("XCRC", 200),
    ("HASH", 213),
    ("MMD5", 200),
    ("COMB", 200),
    ("NOOP", 200),
    ("TYPE", 200),
    ("MODE", 200),
    ("STRU", 200),
    ("ALLO", 200),
    ("OPTS", 200),
    ("LANG", 200),
    ("CLNT", 200),
    ("ACCT", 202),
    ("HELP", 214),
];

/// What goes by this name: `file`, `dir`, or nothing.
pub(crate) fn kind(path: &str) -> Option<&'static str> {
    match path.rsplit('/').next().unwrap_or_default() {
        "there" | "f" | "key" | "q.csv" => Some("file"),
        "" | "in" | "sub" | "secret" | "home" | "anna" | "out" => Some("dir"),
        _other => None,
    }
}

/// Where a path leads from a directory.
pub(crate) fn moved(from: &[u8], path: &[u8]) -> Vec<u8> {
    let from = if path.starts_with(b"/") { b"" } else { from };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in from.split(|&byte| byte == b'/').chain(path.split(|&byte| byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

/// The verb as records have it.
fn canonical(verb: &str) -> &'static str {
    ftpsgate_ftp::codec::Verb::find(verb.as_bytes()).map_or("", ftpsgate_ftp::codec::Verb::name)
}

/// Behind the code of the first line.
fn first_text(reply: &Reply) -> String {
    String::from_utf8_lossy(reply.lines[0].get(4..).unwrap_or_default()).into_owned()
}

/// In every reply of the servers.
const MARK: &str = "said the server";
