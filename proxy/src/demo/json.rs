//! The demo for programs: one JSON object a line.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::report::{Report, Rewritten, Summary};
use super::wire::{Event, Heading, Message};

/// Writes objects with the key `event`: `message`, `note`, `rewrite`, `summary`, `waiting`.
#[derive(Debug)]
pub(super) struct Json<W> {
    output: W,
}

impl<W: Write> Json<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output }
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        writeln!(self.output, "{value}")?;
        self.output.flush()
    }
}

impl<W: Write> Report for Json<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.line(&match event {
            Event::Message(message) => shown(message),
            Event::Note(side, text) => {
                let (near, far) = side.ends();
                json!({ "event": "note", "between": [near, far], "text": text })
            }
        })
    }

    fn rewritten(&mut self, rewritten: Rewritten) -> io::Result<()> {
        let Rewritten { backend, gateway } = rewritten;
        self.line(&json!({ "event": "rewrite", "backend_port": backend, "gateway_port": gateway }))
    }

    fn pause(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let checks: Vec<Value> = summary
            .checks
            .iter()
            .map(|check| json!({ "check": check.what, "ok": check.ok, "found": check.found }))
            .collect();
        let commands: serde_json::Map<String, Value> = summary
            .commands()
            .into_iter()
            .map(|command| (command.name.to_owned(), command.words.join(" ").into()))
            .collect();
        self.line(&json!({
            "event": "summary",
            "ok": summary.is_ok(),
            "checks": checks,
            "gateway": summary.gateway.to_string(),
            "backend": summary.backend.to_string(),
            "ca_file": summary.root.display().to_string(),
            "config_file": summary.config.display().to_string(),
            "config": summary.toml,
            "commands": commands,
        }))
    }

    fn stays(&mut self, _: &Summary) -> io::Result<()> {
        self.line(&json!({ "event": "waiting", "until": "SIGINT or SIGTERM" }))
    }
}

fn shown(message: &Message) -> Value {
    let (asks, replies) = message.side.ends();
    let (from, to) = match message.heading {
        Heading::Request => (asks, replies),
        Heading::Reply => (replies, asks),
    };
    let mut object = json!({ "event": "message", "from": from, "to": to, "lines": message.lines });
    if let Some(port) = message.data_port {
        object["data_port"] = port.into();
    }
    object
}

#[cfg(test)]
mod tests {
    use ftpsgate_ftp::codec::Reply;

    use super::*;
    use crate::demo::wire::Side;

    #[test]
    fn a_message_is_one_line() {
        let mut json = Json::new(Vec::new());
        let reply = Reply::new(229, "ok (|||2100|)");
        json.event(&Event::Message(Message::reply(Side::Upstream, &reply))).unwrap();
        let text = String::from_utf8(json.output).unwrap();
        assert_eq!(
            text,
            "{\"data_port\":2100,\"event\":\"message\",\"from\":\"backend\",\"lines\":[\"229 ok (|||2100|)\"],\
             \"to\":\"gateway\"}\n"
        );
    }
}
