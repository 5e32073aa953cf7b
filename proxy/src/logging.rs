//! Logs: events of `tracing`, on standard error.
//!
//! On a terminal they are written for people, elsewhere as one JSON object a line with the event's fields at the
//! top level and the innermost span beside them. Standard output belongs to what a command was asked for.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Says what is logged, in the syntax of [`EnvFilter`]: `debug`, or `info,ftpsgate::driver=trace`.
pub const LOG_VARIABLE: &str = "FTPSGATE_LOG";

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A line for people.
    Human {
        /// Whether the terminal shows colours.
        color: bool,
    },
    /// A JSON object a line.
    Json,
}

/// Starts logging for the process; calling it again changes nothing.
pub fn init() {
    let style =
        if io::stderr().is_terminal() { Style::Human { color: color_on_stderr() } } else { Style::Json };
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_default();
    let (filter, fault) = filter(&wanted);
    if tracing::subscriber::set_global_default(subscriber(filter, style, io::stderr)).is_err() {
        return;
    }
    if let Some(fault) = fault {
        tracing::warn!(variable = LOG_VARIABLE, value = wanted, %fault, "not a log filter; taking `info`");
    }
}

/// Whether standard error is a terminal that wants colours (<https://no-color.org>).
#[must_use]
pub fn color_on_stderr() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !set("NO_COLOR") && !dumb
}

/// The filter that was asked for, or `info` and why it was not taken.
fn filter(wanted: &str) -> (EnvFilter, Option<String>) {
    if wanted.trim().is_empty() {
        return (EnvFilter::new(DEFAULT_FILTER), None);
    }
    match EnvFilter::try_new(wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT_FILTER), Some(error.to_string())),
    }
}

fn subscriber<W>(filter: EnvFilter, style: Style, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // A reader of standard error that goes away must not end the gateway: errors of the writer are dropped.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match style {
        Style::Human { color } => Box::new(registry.with(layer.with_ansi(color))),
        Style::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(true).with_span_list(false);
            Box::new(registry.with(layer))
        }
    }
}

const DEFAULT_FILTER: &str = "info";

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(style: Style, wanted: &str) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = subscriber(filter(wanted).0, style, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let _session = tracing::info_span!("session", id = 7).entered();
            tracing::info!(target: "listening", listener = "ftps", "ready\nnow");
            tracing::debug!("details");
        });
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_one_flat_object_a_line() {
        let text = logged(Style::Json, "");
        assert_eq!(text.lines().count(), 1);
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["message"], "ready\nnow");
        assert_eq!(event["target"], "listening");
        assert_eq!(event["listener"], "ftps");
        assert_eq!(event["span"]["name"], "session");
        assert_eq!(event["span"]["id"], 7);
        assert!(event["timestamp"].is_string());
    }

    #[test]
    fn people_get_text() {
        let text = logged(Style::Human { color: false }, "debug");
        assert!(text.contains("INFO"), "{text}");
        assert!(text.contains("listener=\"ftps\""), "{text}");
        assert!(text.contains("details"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_info() {
        assert!(filter("").1.is_none());
        assert!(filter("info,ftpsgate::driver=trace").1.is_none());
        assert!(filter("ftpsgate=loud").1.is_some());
    }
}
