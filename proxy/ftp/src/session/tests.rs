//! Wire transcripts under a virtual clock.
//!
//! Each test is what both wires show, line by line; [`harness`] explains the words. A transcript is complete: an
//! action that it does not name fails the test, and so does one that it names and that does not come.

mod harness;

mod abort;
mod active_backend;
mod active_client;
mod commands;
mod connect;
mod deadlines;
mod endings;
mod features;
mod hostile;
mod limits;
mod login;
mod mainframe;
mod modes;
mod passive;
mod pipelining;
mod rename;
mod renewal;
mod restart;
mod route;
mod security;
mod transfer;
