//! What was said on a control connection, as the demo shows it: whole messages, no secrets, nothing that a terminal
//! would obey.

use tokio::sync::mpsc;

use ftpsgate_ftp::codec::address::{parse_epsv_reply, parse_pasv_reply};
use ftpsgate_ftp::codec::{Command, LineDecoder, Reply, ReplyDecoder};

/// Where events go. Bounded: who records waits for who prints.
pub(super) type Tap = mpsc::Sender<Event>;

/// Which of the gateway's control connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Client and gateway, under TLS.
    Downstream,
    /// Gateway and backend, in clear text.
    Upstream,
}

impl Side {
    /// Who is at this side's two ends: the one that asks, the one that replies.
    pub(super) fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Downstream => ("client", "gateway"),
            Self::Upstream => ("gateway", "backend"),
        }
    }
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heading {
    Request,
    Reply,
}

impl Heading {
    /// As in every FTP transcript.
    pub(super) fn arrow(self) -> char {
        match self {
            Self::Request => '>',
            Self::Reply => '<',
        }
    }
}

/// One thing to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// Something was said.
    Message(Message),
    /// Something happened that is not said: a handshake, a data connection.
    Note(Side, String),
}

/// A command, or a whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) side: Side,
    pub(super) heading: Heading,
    pub(super) lines: Vec<String>,
    /// The port that a 227 or 229 names.
    pub(super) data_port: Option<u16>,
}

impl Message {
    pub(super) fn request(side: Side, command: &Command) -> Self {
        // `Debug` of a command hides passwords and escapes the rest.
        Self { side, heading: Heading::Request, lines: vec![format!("{command:?}")], data_port: None }
    }

    pub(super) fn reply(side: Side, reply: &Reply) -> Self {
        let wire = reply.encode();
        let lines = String::from_utf8_lossy(&wire).lines().map(str::to_owned).collect();
        let data_port = match reply.code().value() {
            227 => parse_pasv_reply(reply).map(|address| address.port()),
            229 => parse_epsv_reply(reply),
            _ => None,
        };
        Self { side, heading: Heading::Reply, lines, data_port }
    }

    /// Bytes that are no FTP. They are not shown: they may hold anything.
    fn noise(side: Side, heading: Heading) -> Self {
        Self { side, heading, lines: vec!["(not FTP)".into()], data_port: None }
    }

    /// The verb or the code: what a message and its counterpart on the other side have in common.
    pub(super) fn word(&self) -> &str {
        self.lines.first().and_then(|line| line.split([' ', '-']).next()).unwrap_or_default()
    }
}

/// Reads commands out of bytes that pass by.
#[derive(Debug)]
pub(super) struct Requests {
    side: Side,
    decoder: Option<LineDecoder>,
}

impl Requests {
    pub(super) fn new(side: Side) -> Self {
        Self { side, decoder: Some(LineDecoder::new(LINE_BYTES_MAX)) }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        let Some(decoder) = &mut self.decoder else { return messages };
        decoder.feed(bytes);
        while let Some(line) = decoder.next_line() {
            match line.as_deref().map(Command::parse) {
                Ok(Ok(command)) => messages.push(Message::request(self.side, &command)),
                Ok(Err(_)) => messages.push(Message::noise(self.side, Heading::Request)),
                Err(error) => {
                    messages.push(Message::noise(self.side, Heading::Request));
                    if error.is_fatal() {
                        self.decoder = None;
                        break;
                    }
                }
            }
        }
        messages
    }
}

/// Reads replies out of bytes that pass by.
#[derive(Debug)]
pub(super) struct Replies {
    side: Side,
    decoder: Option<ReplyDecoder>,
}

impl Replies {
    pub(super) fn new(side: Side) -> Self {
        Self { side, decoder: Some(ReplyDecoder::default()) }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        let Some(decoder) = &mut self.decoder else { return messages };
        decoder.feed(bytes);
        while let Some(reply) = decoder.next_reply() {
            match reply {
                Ok(reply) => messages.push(Message::reply(self.side, &reply)),
                Err(_) => {
                    messages.push(Message::noise(self.side, Heading::Reply));
                    self.decoder = None;
                    break;
                }
            }
        }
        messages
    }
}

/// Shows messages to whoever listens. That nobody does any more is no error: the demo is about to end.
pub(super) async fn show(tap: &Tap, messages: Vec<Message>) {
    for message in messages {
        if tap.send(Event::Message(message)).await.is_err() {
            return;
        }
    }
}

const LINE_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_show_even_in_pieces() {
        let mut requests = Requests::new(Side::Upstream);
        let shown: Vec<String> = [&b"USER demo\r\nPA"[..], b"SS can", b"ary\r\n"]
            .iter()
            .flat_map(|bytes| requests.read(bytes))
            .flat_map(|message| message.lines)
            .collect();
        assert_eq!(shown, ["USER demo", "PASS ***"]);
    }

    #[test]
    fn what_is_no_ftp_is_not_shown() {
        let mut requests = Requests::new(Side::Upstream);
        assert_eq!(requests.read(b"canary\n").first().unwrap().lines, ["(not FTP)"]);
        assert_eq!(requests.read(b"NOOP\r\n"), []);
        let mut replies = Replies::new(Side::Upstream);
        assert_eq!(replies.read(b"canary\r\n").first().unwrap().lines, ["(not FTP)"]);
        assert_eq!(replies.read(b"220 x\r\n"), []);
    }

    #[test]
    fn the_ports_of_passive_replies_are_known() {
        let mut replies = Replies::new(Side::Upstream);
        let messages =
            replies.read(b"227 ok (127,0,0,1,8,52)\r\n229 ok (|||2101|)\r\n211-a\r\n b\r\n211 c\r\n");
        let ports: Vec<_> = messages.iter().map(|message| message.data_port).collect();
        assert_eq!(ports, [Some(2100), Some(2101), None]);
        assert_eq!(messages[2].lines, ["211-a", " b", "211 c"]);
        assert_eq!(messages[2].word(), "211");
    }
}
