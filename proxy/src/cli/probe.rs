//! `check --probe`: what the servers show of themselves, as a table, with what to do about what does not work.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::CliError;
use super::output::{print, say};
use crate::backend::probe::{Fault, Findings, TlsFindings, probe};
use crate::backend::{Backend, Server};
use crate::config::{BackendData, Config};
use crate::tls::BackendProfile;

/// One server of one backend, and what it has shown.
pub(super) struct Probed {
    backend: String,
    server: String,
    is_passive: bool,
    findings: Findings,
}

/// Probes every server of every backend once, some at a time; in the order of the configuration.
///
/// # Errors
///
/// There is no runtime to be had.
pub(super) fn run(config: &Config) -> Result<Vec<Probed>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Runtime(Box::new(error)))?;
    Ok(runtime.block_on(probe_all(config)))
}

async fn probe_all(config: &Config) -> Vec<Probed> {
    let mut waiting = VecDeque::new();
    let mut results = Vec::new();
    for backend in &config.backends {
        match backend.tls.as_ref().map(BackendProfile::new).transpose() {
            Ok(tls) => {
                let made = Arc::new(Backend::new(Arc::clone(backend), tls.map(Arc::new), None));
                waiting.extend(made.servers().iter().map(|server| (Arc::clone(&made), Arc::clone(server))));
            }
            // None of its servers can be visited.
            Err(error) => results.extend(backend.servers.iter().map(|server| {
                let fault = Fault { message: error.to_string(), advice: TLS_KEYS.to_owned() };
                let findings = Findings { failures: vec![fault], ..Findings::default() };
                probed(&backend.name, server.address.to_string(), &backend.data, findings)
            })),
        }
    }
    let total = waiting.len();
    let mut progress = Progress::new(total);
    let mut running = JoinSet::new();
    loop {
        while running.len() < CONCURRENT_MAX
            && let Some((backend, server)) = waiting.pop_front()
        {
            running.spawn(probe_one(backend, server));
        }
        match running.join_next().await {
            Some(Ok(one)) => {
                results.push(one);
                progress.step();
            }
            Some(Err(error)) => {
                // None is cancelled.
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
            None => break,
        }
    }
    progress.end();
    let place = |one: &Probed| {
        let mut places = config.backends.iter().flat_map(|backend| {
            backend.servers.iter().map(move |server| (&backend.name, server.address.to_string()))
        });
        places.position(|(backend, server)| *backend == one.backend && server == one.server)
    };
    results.sort_by_key(place);
    results
}

async fn probe_one(backend: Arc<Backend>, server: Arc<Server>) -> Probed {
    let findings = probe(&backend, &server).await;
    probed(&backend.config().name, server.to_string(), &backend.config().data, findings)
}

fn probed(backend: &str, server: String, data: &BackendData, findings: Findings) -> Probed {
    let is_passive = *data == BackendData::Passive;
    Probed { backend: backend.to_owned(), server, is_passive, findings }
}

impl Probed {
    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.findings.is_good()
    }

    /// The same facts as in the table.
    pub(super) fn to_json(&self) -> Value {
        let Findings { reached, greeting, tls, features, logs_in, epsv, pasv, data_resumes, failures } =
            &self.findings;
        let tls = tls.as_ref().map(|TlsFindings { version, suite, certificate }| {
            let certificate = certificate.as_ref().map(|facts| {
                json!({
                    "subject": facts.subject,
                    "issuer": facts.issuer,
                    "ends_on": facts.ends_on,
                    "pin": facts.pin.to_string(),
                })
            });
            json!({ "version": version, "suite": suite, "certificate": certificate })
        });
        let failures = failures.iter().map(|one| json!({ "message": one.message, "advice": one.advice }));
        json!({
            "backend": self.backend,
            "server": self.server,
            "ok": self.is_good(),
            "address": reached.map(|(address, _)| address.to_string()),
            "connect_ms": reached.map(|(_, time)| time.as_secs_f64() * 1000.0),
            "greeting": greeting.as_ref().map(|reply| reply.last_text().escape_ascii().to_string()),
            "tls": tls,
            "features": features,
            "login": logs_in,
            "epsv": epsv,
            "pasv": pasv,
            "data_resumes": data_resumes,
            "failures": failures.collect::<Vec<_>>(),
        })
    }

    /// One row, as wide as it comes.
    fn row(&self) -> [String; COLUMNS.len()] {
        let findings = &self.findings;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let word = |fact: Option<bool>, words: [&str; 3]| {
            let [yes, no, untried] = words;
            fact.map_or(untried, |fact| if fact { yes } else { no }).to_owned()
        };
        let tls = findings.tls.as_ref();
        let features = findings.features.as_ref().map(|features| {
            let known = features.iter().map(String::as_str);
            let shown: Vec<&str> = known.filter(|word| HIGHLIGHTS.contains(word)).collect();
            if shown.is_empty() { "none of note".to_owned() } else { shown.join(" ") }
        });
        let data = if self.is_passive {
            let tried = ["yes", "no", "not tried"];
            format!("EPSV {}, PASV {}", word(findings.epsv, tried), word(findings.pasv, tried))
        } else {
            // A probe has no ports of its own to offer.
            "PORT, EPRT not tried".to_owned()
        };
        [
            self.backend.clone(),
            self.server.clone(),
            or_dash(findings.reached.map(|(_, time)| format!("{:.1} ms", time.as_secs_f64() * 1000.0))),
            or_dash(findings.greeting.as_ref().map(|reply| shortened(reply.last_text()))),
            or_dash(tls.map(|tls| format!("{} {}", tls.version, tls.suite))),
            or_dash(features),
            word(findings.logs_in, ["yes", "no", "not tried"]),
            data,
            word(findings.data_resumes, ["yes", "no", "-"]),
        ]
    }

    fn certificate_lines(&self) -> Option<String> {
        let facts = self.findings.tls.as_ref()?.certificate.as_ref()?;
        let unnamed = "(without a name)";
        Some(format!(
            "{} {}: certificate {}, issued by {}, until {}, {}\n",
            self.backend,
            self.server,
            facts.subject.as_deref().unwrap_or(unnamed),
            facts.issuer.as_deref().unwrap_or(unnamed),
            facts.ends_on,
            facts.pin
        ))
    }

    fn failure_lines(&self) -> impl Iterator<Item = String> {
        self.findings.failures.iter().map(|Fault { message, advice }| {
            let advice = if advice.is_empty() { String::new() } else { format!("\n    {advice}") };
            format!("{} {}: {message}{advice}\n", self.backend, self.server)
        })
    }
}

/// The table, the certificates below it, and below these what failed.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn print_table(probed: &[Probed]) -> Result<(), CliError> {
    let mut text = table(&probed.iter().map(Probed::row).collect::<Vec<_>>());
    for lines in [
        probed.iter().filter_map(Probed::certificate_lines).collect::<String>(),
        probed.iter().flat_map(Probed::failure_lines).collect(),
    ] {
        if !lines.is_empty() {
            text.push('\n');
            text.push_str(&lines);
        }
    }
    print(&text)
}

/// Columns as wide as their widest cell; two spaces between them.
fn table(rows: &[[String; COLUMNS.len()]]) -> String {
    let header = COLUMNS.map(str::to_owned);
    let mut widths = [0; COLUMNS.len()];
    for row in rows.iter().chain([&header]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in [&header].into_iter().chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A server's text may be anything.
fn shortened(text: &[u8]) -> String {
    if text.len() <= GREETING_BYTES_MAX {
        return text.escape_ascii().to_string();
    }
    format!("{}…", text[..GREETING_BYTES_MAX].escape_ascii())
}

/// A line on a terminal that counts.
struct Progress {
    done: usize,
    total: usize,
    is_shown: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        let progress = Self { done: 0, total, is_shown: io::stderr().is_terminal() };
        progress.show();
        progress
    }

    fn step(&mut self) {
        self.done += 1;
        self.show();
    }

    fn show(&self) {
        if self.is_shown {
            say(&format!("\r{} of {} servers probed", self.done, self.total));
        }
    }

    fn end(&self) {
        if self.is_shown {
            // Erase the line.
            say("\r\x1b[2K");
        }
    }
}

const COLUMNS: [&str; 9] =
    ["BACKEND", "SERVER", "CONNECT", "GREETING", "TLS", "FEATURES", "LOGIN", "DATA", "RESUMES"];
/// Features that decide what clients can do.
const HIGHLIGHTS: [&str; 8] = ["EPSV", "EPRT", "HASH", "MDTM", "MFMT", "MLST", "REST", "UTF8"];
/// Of a greeting in the table.
const GREETING_BYTES_MAX: usize = 40;
/// Servers that are probed at a time.
const CONCURRENT_MAX: usize = 16;
const TLS_KEYS: &str = "see the keys `tls_…` of this backend";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_blank_ends() {
        let row = |first: &str| {
            let mut row = COLUMNS.map(|_| "-".to_owned());
            row[0] = first.to_owned();
            row
        };
        let text = table(&[row("a-long-name-of-a-backend"), row("b")]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].find("SERVER"), lines[1].find("  -").map(|at| at + 2));
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
    }

    #[test]
    fn a_greeting_moves_no_cursor_and_fills_no_screen() {
        assert_eq!(shortened(b"\x1b[2Jhello"), "\\x1b[2Jhello");
        assert!(shortened(&[b'a'; 5000]).chars().count() == GREETING_BYTES_MAX + 1);
    }
}
