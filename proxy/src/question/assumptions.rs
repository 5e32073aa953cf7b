//! What an answer rests on and was not told: said with it, together with the argument that would tell.

use ftpsgate_policies::explain::{Because, Matcher};
use ftpsgate_policies::rule::Action;

use super::reasons::Judged;
use super::server::{Asked, UNIQUE_NAME};
use crate::config::{ClientCertificates, Config, Listener, Mode, Question};

/// What there is to know.
pub(super) struct Grounds<'a> {
    pub(super) config: &'a Config,
    pub(super) listener: &'a Listener,
    pub(super) question: &'a Question,
    /// What the gateway wanted to know of the server.
    pub(super) asked: Asked,
    pub(super) judged: Option<&'a Judged>,
}

/// All of it, in words.
pub(super) fn of(grounds: &Grounds<'_>) -> Vec<String> {
    let told = [of_server(grounds), of_client(grounds)];
    told.into_iter().flatten().collect()
}

fn of_server(grounds: &Grounds<'_>) -> Vec<String> {
    let Grounds { question, asked, judged, .. } = grounds;
    let mut told = Vec::new();
    let otherwise = judged.and_then(|judged| judged.otherwise);
    if asked.exists || otherwise.is_some() {
        let other = match otherwise {
            Some(Action::Allow) => "; else it would be allowed",
            Some(Action::Deny) => "; else it would be denied",
            None => "",
        };
        told.push(match question.exists {
            true => format!("the file is there already{other}"),
            false => format!("the file is not there yet (else: --exists){other}"),
        });
    }
    if asked.is_file {
        told.push(match question.is_directory {
            true => "it is a directory".to_owned(),
            false => "it is a file (a directory: --is-directory)".to_owned(),
        });
    }
    if asked.directory {
        told.push("the directory is there, and no link leads elsewhere".to_owned());
    }
    if asked.name {
        told.push(format!("the server names the file {UNIQUE_NAME}, or so that policy says the same"));
    }
    told
}

fn of_client(grounds: &Grounds<'_>) -> Vec<String> {
    let Grounds { config, listener, question, judged, .. } = grounds;
    let rules = &config.rules.rules;
    let routes = &config.routes;
    let mut told = Vec::new();
    let mut assume = |is_open: bool, text: &str| {
        if is_open {
            told.push(text.to_owned());
        }
    };
    let met = |matcher| {
        judged.is_some_and(|judged| {
            let passed = judged.accesses.iter().flat_map(|access| &access.explanation.passed);
            passed.into_iter().any(|passed| passed.because == Because::Mismatch(matcher))
        })
    };
    assume(
        question.size_bytes.is_none() && met(Matcher::LargerThan),
        "the upload is not too large for any rule (--size)",
    );
    assume(
        question.at.is_none() && rules.iter().any(|rule| rule.matchers.hours.is_some()),
        "it is now (--at)",
    );
    assume(
        question.tls.is_none()
            && listener.mode != Mode::Plain
            && rules.iter().any(|rule| rule.matchers.tls.is_some()),
        "the client speaks the newest TLS that this listener offers (--tls)",
    );
    let looks_at_certificates = rules.iter().any(|rule| !rule.matchers.certificates.is_empty())
        || routes.iter().any(|route| !route.certificates.is_empty());
    let profile = config.tls.get(&listener.tls).filter(|_| listener.mode != Mode::Plain);
    let asks = profile.is_some_and(|profile| profile.client_certificates != ClientCertificates::Off);
    assume(
        question.certificates.is_empty() && asks && looks_at_certificates,
        "the client shows no certificate (--certificate)",
    );
    assume(
        !question.certificates.is_empty() && !asks,
        "this listener asks for no certificate, so none counts",
    );
    let is_routed = question.backend.is_none();
    assume(
        is_routed && question.sni.is_none() && asks_for_sni(grounds),
        "the client names no server in its TLS handshake (--sni)",
    );
    assume(
        is_routed && question.host.is_none() && routes.iter().any(|route| !route.hosts.is_empty()),
        "the client says no HOST (--host)",
    );
    told
}

fn asks_for_sni(grounds: &Grounds<'_>) -> bool {
    grounds.listener.mode != Mode::Plain && grounds.config.routes.iter().any(|route| !route.sni.is_empty())
}
