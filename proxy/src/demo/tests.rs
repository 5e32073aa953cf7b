//! The demo against itself.

use std::path::PathBuf;
use std::sync::mpsc;

use serde_json::Value;

use super::*;

/// Passes on every line.
struct Lines {
    sender: mpsc::Sender<String>,
    line: Vec<u8>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        while let Some(end) = self.line.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            let line = String::from_utf8(line).map_err(io::Error::other)?;
            self.sender.send(line).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines() -> (Lines, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    (Lines { sender, line: Vec::new() }, receiver)
}

fn never() -> io::Result<std::future::Pending<()>> {
    Ok(std::future::pending())
}

fn objects(receiver: &mpsc::Receiver<String>) -> Vec<Value> {
    receiver.try_iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
}

fn folder(summary: &Value) -> PathBuf {
    PathBuf::from(summary["config_file"].as_str().unwrap()).parent().unwrap().to_owned()
}

#[test]
fn a_run_succeeds_and_leaves_nothing_behind() {
    let (output, receiver) = lines();
    run(Style::Json, true, output, never).unwrap();
    let objects = objects(&receiver);
    let summary = objects.last().unwrap();
    assert_eq!((&summary["event"], &summary["ok"]), (&"summary".into(), &true.into()), "{summary}");
    assert_eq!(objects.iter().filter(|object| object["event"] == "rewrite").count(), 4);
    let passwords: Vec<&Value> = objects
        .iter()
        .map(|object| &object["lines"][0])
        .filter(|line| line.as_str().is_some_and(|line| line.starts_with("PASS")))
        .collect();
    assert_eq!(passwords, ["PASS ***", "PASS ***"]);
    assert!(!folder(summary).exists());
}

#[test]
fn two_columns_fit_their_width() {
    let mut output = Vec::new();
    run(Style::Columns { width: 100, color: false }, true, &mut output, never).unwrap();
    let text = String::from_utf8(output).unwrap();
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(100), "{text}");
    assert_eq!(text.matches("◆ rewritten").count(), 4, "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn a_demo_that_stays_ends_when_it_is_told_and_leaves_nothing_behind() {
    let (output, receiver) = lines();
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let listener = std::thread::spawn(move || {
        let summary = receiver.iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let summary = summary.into_iter().find(|object| object["event"] == "summary").unwrap();
        let folder = folder(&summary);
        assert!(receiver.recv().unwrap().contains("waiting"));
        assert!(folder.join("state/ca/root.pem").exists() && folder.join("files/upload.bin").exists());
        stop.send(()).unwrap();
        folder
    });
    let wait = || Ok(async { stopped.await.unwrap() });
    run(Style::Json, false, output, wait).unwrap();
    assert!(!listener.join().unwrap().exists());
}

#[test]
fn a_script_that_is_interrupted_is_no_success() {
    let (output, _receiver) = lines();
    let result = run(Style::Json, true, output, || Ok(std::future::ready(())));
    assert!(matches!(result, Err(DemoError::Interrupted)));
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let (output, receiver) = lines();
    drop(receiver);
    assert!(matches!(run(Style::Json, true, output, never), Err(DemoError::Output(_))));
}
