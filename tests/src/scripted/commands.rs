//! How a server that behaves answers each command.

use std::io::Result;

use super::data::Stopped;
use super::{Flow, Happening, ScriptedSession, ServerData, Upload};
use crate::client::End;

/// Answers one command.
pub(super) fn behave(session: &mut ScriptedSession, verb: &str, argument: &[u8]) -> Result<Flow> {
    match verb {
        "RETR" => return download(session, argument),
        "LIST" | "MLSD" | "NLST" => {
            let listing = listing(session, verb);
            return send(session, &listing);
        }
        "STOR" | "APPE" | "STOU" => return upload(session, verb, argument),
        "QUIT" => {
            session.reply("221 Goodbye")?;
            return Ok(Flow::Close);
        }
        "EPSV" => {
            let port = session.open_port()?;
            session.reply(&format!("229 Extended passive (|||{port}|)"))?;
        }
        "PASV" => {
            let [high, low] = session.open_port()?.to_be_bytes();
            session.reply(&format!("227 Passive (127,0,0,1,{high},{low})"))?;
        }
        "REST" => {
            session.restart = std::str::from_utf8(argument).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
            session.reply("350 Restarting")?;
        }
        "SIZE" => match file(session, argument) {
            Some(content) => session.reply(&format!("213 {}", content.len()))?,
            None => session.reply("550 No such file")?,
        },
        "DELE" => {
            let removed = session.shared.script.files_locked().remove(argument).is_some();
            session.reply(if removed { "250 Deleted" } else { "550 No such file" })?;
        }
        "RNFR" => {
            session.rename_from = Some(argument.to_vec());
            session.reply("350 To what?")?;
        }
        "RNTO" => rename(session, argument)?,
        "FEAT" => session.send(
            b"211-Features\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n MLST type*;size*;\r\n UTF8\r\n211 End\r\n",
        )?,
        _ => {
            let reply =
                CONSTANT.iter().find(|(known, _)| *known == verb).map_or("500 What?", |(_, reply)| reply);
            session.reply(reply)?;
        }
    }
    Ok(Flow::Continue)
}

/// Verbs whose answer is always the same.
const CONSTANT: [(&str, &str); 24] = [
    ("USER", "331 Password, please"),
    ("PASS", "230 Welcome"),
    ("ACCT", "202 Superfluous"),
    ("PWD", "257 \"/\" is current"),
    ("XPWD", "257 \"/\" is current"),
    ("CWD", "250 Moved"),
    ("CDUP", "250 Moved"),
    ("TYPE", "200 Type set"),
    ("MODE", "200 Mode set"),
    ("STRU", "200 Structure set"),
    ("NOOP", "200 Fine"),
    ("SYST", "215 UNIX Type: L8"),
    ("HELP", "214 No help"),
    ("STAT", "211 All well"),
    ("MDTM", "213 20240102030405"),
    ("MLST", "250-Begin\r\n type=file; x\r\n250 End"),
    ("MKD", "257 \"made\" created"),
    ("RMD", "250 Removed"),
    ("ALLO", "202 Superfluous"),
    ("OPTS", "200 Noted"),
    ("LANG", "200 Understood"),
    ("SITE", "200 Done"),
    ("MFMT", "213 Modified"),
    ("ABOR", "226 Nothing to abort"),
];

fn file(session: &ScriptedSession, name: &[u8]) -> Option<Vec<u8>> {
    session.shared.script.files_locked().get(name).cloned()
}

fn listing(session: &ScriptedSession, verb: &str) -> Vec<u8> {
    let files = session.shared.script.files_locked();
    let mut names: Vec<_> = files.iter().map(|(name, content)| (name.clone(), content.len())).collect();
    names.sort();
    let mut listing = Vec::new();
    for (name, size) in names {
        let before = match verb {
            "LIST" => format!("-rw-r--r-- 1 ftp ftp {size:>10} Jan  1 00:00 "),
            "MLSD" => format!("type=file;size={size}; "),
            _ => String::new(),
        };
        listing.extend_from_slice(before.as_bytes());
        listing.extend_from_slice(&name);
        listing.extend_from_slice(b"\r\n");
    }
    listing
}

fn rename(session: &mut ScriptedSession, to: &[u8]) -> Result<()> {
    let from = session.rename_from.take().unwrap_or_default();
    let mut files = session.shared.script.files_locked();
    let reply = match files.remove(&from) {
        Some(content) => {
            files.insert(to.to_vec(), content);
            "250 Renamed"
        }
        None => "550 No such file",
    };
    drop(files);
    session.reply(reply)
}

fn download(session: &mut ScriptedSession, name: &[u8]) -> Result<Flow> {
    let offset = std::mem::take(&mut session.restart);
    match file(session, name) {
        Some(content) => send(session, content.get(offset..).unwrap_or_default()),
        None => {
            session.reply("550 No such file")?;
            Ok(Flow::Continue)
        }
    }
}

fn send(session: &mut ScriptedSession, content: &[u8]) -> Result<Flow> {
    let Some(mut data) = open(session)? else { return Ok(Flow::Continue) };
    match data.send_unless_interrupted(session.control(), content)? {
        Stopped::Ended(End::Fin) => {
            data.finish();
            session.reply("226 Sent")?;
            Ok(Flow::Continue)
        }
        Stopped::Ended(End::CloseNotify | End::Reset) => {
            session.reply("426 Connection closed; transfer aborted")?;
            Ok(Flow::Continue)
        }
        Stopped::Interrupted => session.answer_abort(data),
    }
}

fn upload(session: &mut ScriptedSession, verb: &str, name: &[u8]) -> Result<Flow> {
    let offset = std::mem::take(&mut session.restart);
    let Some(mut data) = open(session)? else { return Ok(Flow::Continue) };
    let mut content = Vec::new();
    let stopped = data.receive_unless_interrupted(session.control(), &mut content)?;
    let end = match stopped {
        Stopped::Ended(end) => end,
        Stopped::Interrupted => End::Reset,
    };
    let uploaded = Upload { name: name.to_vec(), content: content.clone(), end };
    session.shared.record.add(Happening::Uploaded(uploaded));
    match stopped {
        Stopped::Ended(End::Fin) => {
            let mut files = session.shared.script.files_locked();
            let stored = files.entry(name.to_vec()).or_default();
            match verb {
                "APPE" => {}
                _ => stored.truncate(offset),
            }
            stored.extend_from_slice(&content);
            drop(files);
            session.reply("226 Stored")?;
            Ok(Flow::Continue)
        }
        Stopped::Ended(End::CloseNotify | End::Reset) => {
            session.reply("426 Connection closed; transfer aborted")?;
            Ok(Flow::Continue)
        }
        Stopped::Interrupted => session.answer_abort(data),
    }
}

/// The data connection and the 150, or a 425.
fn open(session: &mut ScriptedSession) -> Result<Option<ServerData>> {
    if !session.has_port() {
        session.reply("425 Use EPSV first")?;
        return Ok(None);
    }
    session.start_transfer().map(Some)
}
