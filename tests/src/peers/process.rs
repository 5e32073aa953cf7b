//! One run of a client program: standard input that the test may hold open, captured output, a deadline.
//!
//! No run outlives its [`Running`]: what is dropped early is killed, by its own process id.

use std::fmt;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A client program at work.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    outputs: Receiver<Vec<u8>>,
    deadline: Instant,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status; `None` for a run that was killed at its deadline.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error, as they came.
    pub output: String,
}

impl Running {
    /// Starts `command`, which has `patience` to end.
    ///
    /// # Panics
    ///
    /// If the program cannot be started.
    pub fn start(mut command: Command, patience: Duration) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", command.get_program().display()));
        let (sender, outputs) = mpsc::channel();
        collect(child.stdout.take().expect("standard output is piped"), sender.clone());
        collect(child.stderr.take().expect("standard error is piped"), sender);
        let stdin = child.stdin.take();
        Self { child, stdin, outputs, deadline: Instant::now() + patience }
    }

    /// Feeds standard input. A program that has ended already shows that by its status, not here.
    pub fn feed(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            // Broken where the program has ended: `finish` tells why.
            let _ = stdin.write_all(bytes);
        }
    }

    /// Whether the program has ended.
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Ends standard input, and waits for the program.
    pub fn finish(mut self) -> Outcome {
        self.stdin = None;
        let mut output = Vec::new();
        let mut in_time = true;
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.outputs.recv_timeout(left) {
                Ok(bytes) => output.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    in_time = false;
                    break;
                }
            }
        }
        if !in_time {
            // It may end at this very moment, and need no killing.
            let _ = self.child.kill();
        }
        let status = self.child.wait().ok().filter(|_| in_time);
        Outcome { status, output: String::from_utf8_lossy(&output).into_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `finish` there is nothing left to kill, and the wait returns at once.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Outcome {
    /// Whether the program ended by itself, and well.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(formatter, "{status}\n{}", self.output),
            None => write!(formatter, "killed at its deadline\n{}", self.output),
        }
    }
}

/// Sends what `pipe` yields, as it comes, until it ends.
fn collect(mut pipe: impl Read + Send + 'static, sender: mpsc::Sender<Vec<u8>>) {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            // Nobody listens to a run that was killed at its deadline.
            if sender.send(chunk[..length].to_vec()).is_err() {
                break;
            }
        }
    });
}
