//! AUTH, PBSZ and PROT of a scripted server, RFC 4217.

use std::io::Result;

use super::{Flow, ScriptedSession};

/// Answers AUTH, and performs the handshake.
pub(super) fn auth(session: &mut ScriptedSession) -> Result<Flow> {
    match session.tls() {
        Some(tls) if !tls.is_implicit && !session.is_secured() => {
            session.reply("234 Go on")?;
            session.start_tls()?;
        }
        Some(_) => session.reply("503 Already under TLS")?,
        None => session.reply("500 What?")?,
    }
    Ok(Flow::Continue)
}

/// Answers PBSZ and PROT.
pub(super) fn protect(session: &mut ScriptedSession, verb: &str, argument: &[u8]) -> Result<()> {
    if !session.is_secured() {
        return session.reply(if session.tls().is_some() { "503 AUTH first" } else { "500 What?" });
    }
    match (verb, argument) {
        ("PBSZ", _) => session.reply("200 PBSZ=0"),
        ("PROT", b"P") => {
            session.is_private = true;
            session.reply("200 Private")
        }
        ("PROT", b"C") if session.manner().takes_clear_data => {
            session.is_private = false;
            session.reply("200 Clear")
        }
        _ => session.reply("534 Not this level"),
    }
}
