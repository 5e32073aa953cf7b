//! How a server that behaves answers each command.

use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::data::Stopped;
use super::{Flow, Happening, ScriptedSession, ServerData, Upload, security};
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
        "AUTH" => return security::auth(session),
        "PBSZ" | "PROT" => security::protect(session, verb, argument)?,
        "EPSV" => {
            let port = session.open_port()?;
            let d = session.manner().delimiter;
            session.reply(&format!("229 Extended passive ({d}{d}{d}{port}{d})"))?;
        }
        "PASV" => match session.local_ip() {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                let [high, low] = session.open_port()?.to_be_bytes();
                session.reply(&format!("227 Passive ({a},{b},{c},{d},{high},{low})"))?;
            }
            IpAddr::V6(_) => session.reply("522 Only EPSV")?,
        },
        "PORT" | "EPRT" => match active_address(verb, argument) {
            Some(address) => {
                session.open_towards(address);
                session.reply("200 There, then")?;
            }
            None => session.reply("501 No address")?,
        },
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
        "PWD" | "XPWD" => {
            let line = [b"257 \"", session.folder.as_slice(), b"\" is current\r\n"].concat();
            session.send(&line)?;
        }
        "CWD" | "CDUP" => {
            let target = if verb == "CDUP" { b".." } else { argument };
            session.folder = moved(&session.folder, target);
            session.reply("250 Moved")?;
        }
        "RNFR" => {
            session.rename_from = Some(argument.to_vec());
            session.reply("350 To what?")?;
        }
        "RNTO" => rename(session, argument)?,
        "FEAT" => session.send(session.manner().features)?,
        _ => {
            let reply =
                CONSTANT.iter().find(|(known, _)| *known == verb).map_or("500 What?", |(_, reply)| reply);
            session.reply(reply)?;
        }
    }
    Ok(Flow::Continue)
}

/// Verbs whose answer is always the same.
const CONSTANT: [(&str, &str); 20] = [
    ("USER", "331 Password, please"),
    ("PASS", "230 Welcome"),
    ("ACCT", "202 Superfluous"),
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

/// Where a path leads from a folder.
fn moved(folder: &[u8], path: &[u8]) -> Vec<u8> {
    let from = if path.starts_with(b"/") { b"" } else { folder };
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
    let manner = session.manner();
    match data.send_unless_interrupted(session.control(), content)? {
        Stopped::Ended(End::Fin) if manner.is_early => {
            session.send(manner.sent)?;
            data.finish();
            Ok(Flow::Continue)
        }
        Stopped::Ended(End::Fin) => {
            data.finish();
            session.send(manner.sent)?;
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
        Stopped::Ended(end) if data.is_whole(end) => {
            store(session, verb, name, offset, &content);
            match session.manner().answers_close_notify {
                true => data.finish_upload(),
                false => data.wait_closed(),
            }
            session.send(session.manner().stored)?;
            Ok(Flow::Continue)
        }
        Stopped::Ended(_) => {
            session.reply("426 Connection closed; transfer aborted")?;
            Ok(Flow::Continue)
        }
        Stopped::Interrupted => session.answer_abort(data),
    }
}

fn store(session: &ScriptedSession, verb: &str, name: &[u8], offset: usize, content: &[u8]) {
    let mut files = session.shared.script.files_locked();
    let stored = files.entry(name.to_vec()).or_default();
    match verb {
        "APPE" => {}
        _ => stored.truncate(offset),
    }
    stored.extend_from_slice(content);
}

/// The data connection and the 150, or a 425 or 522.
fn open(session: &mut ScriptedSession) -> Result<Option<ServerData>> {
    if !session.has_port() {
        session.reply("425 Use EPSV first")?;
        return Ok(None);
    }
    session.open_transfer()
}

/// The address in PORT's six numbers (RFC 959) or between EPRT's bars (RFC 2428).
fn active_address(verb: &str, argument: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(argument).ok()?;
    if verb == "PORT" {
        let numbers = text.split(',').map(|number| number.parse::<u8>().ok()).collect::<Option<Vec<_>>>()?;
        let [a, b, c, d, high, low] = numbers[..] else { return None };
        return Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))));
    }
    let fields: Vec<&str> = text.split('|').collect();
    let ["", family, address, port, ""] = fields[..] else { return None };
    let address = SocketAddr::new(address.parse().ok()?, port.parse().ok()?);
    (family == if address.is_ipv4() { "1" } else { "2" }).then_some(address)
}
