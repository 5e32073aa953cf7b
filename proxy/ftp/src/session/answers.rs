//! The replies that the gateway gives of its own, with their codes: RFC 959 §4.2, 2228 §3, 2428, 4217.

use std::net::IpAddr;

use crate::codec::address::Family;
use crate::codec::{Arity, CommandError, LineError, Protection, Reply, Verb};

use super::event::{Direction, PortError, RelayEnd};
use super::settings::{UpstreamSettings, UpstreamTls};

pub(super) fn line_error(error: LineError) -> Reply {
    match error {
        LineError::TooLong => Reply::new(500, "Line too long."),
        LineError::Telnet => Reply::new(500, "Telnet commands are not understood here."),
        LineError::BareLineFeed
        | LineError::BareCarriageReturn
        | LineError::Nul
        | LineError::TlsRecord
        | LineError::ProxyHeader => Reply::new(500, "Malformed line; closing the connection."),
    }
}

pub(super) fn command_error(error: CommandError) -> Reply {
    match error {
        CommandError::NoVerb
        | CommandError::UnknownVerb
        | CommandError::ForeignProtocol
        | CommandError::ProxyHeader => Reply::new(500, "Unknown command."),
        CommandError::MissingArgument(verb) => {
            Reply::new(501, format!("{} needs an argument: {}", verb.name(), verb.usage()))
        }
        CommandError::UnexpectedArgument(verb) => {
            Reply::new(501, format!("{} takes no argument.", verb.name()))
        }
    }
}

pub(super) fn bad_argument(verb: Verb) -> Reply {
    Reply::new(501, format!("Bad argument; usage: {} {}", verb.name(), verb.usage()))
}

pub(super) fn unsupported_argument(verb: Verb) -> Reply {
    Reply::new(504, format!("{} with this argument is not supported.", verb.name()))
}

pub(super) fn not_offered(verb: Verb) -> Reply {
    Reply::new(502, format!("{} is not offered here.", verb.name()))
}

pub(super) fn log_in_first() -> Reply {
    Reply::new(530, "Log in first.")
}

pub(super) fn tls_required() -> Reply {
    Reply::new(530, "TLS is required: send AUTH TLS first.")
}

pub(super) fn closing(text: &str) -> Reply {
    Reply::new(421, format!("{text}; closing the connection."))
}

pub(super) fn wrong_family(family: Family) -> Reply {
    Reply::new(522, format!("Network protocol not supported, use ({})", family.number()))
}

/// PORT or EPRT with another's address.
pub(super) fn foreign_host(verb: Verb) -> Reply {
    Reply::new(500, format!("{} may name only the address that you connect from.", verb.name()))
}

pub(super) fn low_port(verb: Verb) -> Reply {
    Reply::new(504, format!("{} with a port below 1024 is not supported.", verb.name()))
}

pub(super) fn no_data_port(error: PortError) -> Reply {
    Reply::new(425, format!("No data connection is possible: {error}."))
}

/// A transfer before which no data connection was asked for.
pub(super) fn no_setup(active: bool) -> Reply {
    Reply::new(425, if active { "Send PASV, EPSV, PORT or EPRT first." } else { "Send PASV or EPSV first." })
}

/// HELP before login, when there is no backend to ask.
pub(super) fn help() -> Reply {
    let names: Vec<&str> = Verb::ALL.iter().map(|verb| verb.name()).collect();
    let rows = names.chunks(10).map(|row| format!(" {}", row.join(" ")));
    Reply::multiline(214, "Commands known here:", rows, "End")
}

/// STAT without a path, after the login.
pub(super) fn status(
    user: Option<&[u8]>,
    client: IpAddr,
    is_secure: bool,
    protection: Protection,
    server: &UpstreamSettings,
) -> Reply {
    let yes = |flag: bool| if flag { "TLS" } else { "clear" };
    let data = |protection| yes(protection == Protection::Private);
    let user =
        user.map_or_else(|| "not logged in".into(), |user| format!("logged in as {}", user.escape_ascii()));
    Reply::multiline(
        211,
        "Status of this session:",
        [
            format!(" Connected from {client}"),
            format!(" {user}"),
            format!(" Control connection: {}; data connections: {}", yes(is_secure), data(protection)),
            format!(
                " To {}: control connection: {}; data connections: {}",
                server.name,
                yes(server.tls != UpstreamTls::Off),
                data(server.protection)
            ),
        ],
        "End",
    )
}

/// Whether HELP on one verb can be answered here.
pub(super) fn help_on(argument: &[u8]) -> Reply {
    match Verb::find(argument) {
        None => Reply::new(502, "No such command."),
        Some(verb) => match verb.arity() {
            Arity::None => Reply::new(214, format!("Syntax: {}", verb.name())),
            Arity::Optional | Arity::Required => {
                Reply::new(214, format!("Syntax: {} {}", verb.name(), verb.usage()))
            }
        },
    }
}

/// What a client is told about a transfer whose data did not make it. `None`: it did.
pub(super) fn relay_failure(end: RelayEnd) -> Option<Reply> {
    let (code, text) = match end {
        RelayEnd::Complete => return None,
        RelayEnd::NotConnected => (425, "The data connection was not opened."),
        RelayEnd::TlsFailed => (522, "TLS on the data connection failed."),
        RelayEnd::NotResumed => {
            (522, "The data connection must resume the control connection's TLS session.")
        }
        RelayEnd::Truncated => (
            426,
            "The upload ended without TLS close_notify and counts as truncated (upload_end = \"strict\").",
        ),
        RelayEnd::ClientFailed => (426, "The data connection was closed; transfer aborted."),
        RelayEnd::BackendFailed => (426, "The server's data connection failed; transfer aborted."),
        RelayEnd::BackendTlsFailed => (425, "The server's data connection could not be secured."),
        RelayEnd::Stalled => (426, "No data moved for too long; transfer aborted."),
        RelayEnd::TooSlow => (426, "The transfer is slower than the minimum rate; transfer aborted."),
        RelayEnd::TooLarge(Direction::Upload) => {
            (552, "The file is larger than you may store; transfer aborted.")
        }
        RelayEnd::TooLarge(Direction::Download) => {
            (426, "The file is larger than you may fetch; transfer aborted.")
        }
        RelayEnd::Violation => (426, "Unexpected data on the data connection; transfer aborted."),
    };
    Some(Reply::new(code, text))
}
