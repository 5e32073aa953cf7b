//! Wire transcripts under a virtual clock.
//!
//! Each test is what both wires show, line by line; [`harness`] explains the words. A transcript is complete: an
//! action that it does not name fails the test, and so does one that it names and that does not come.

mod harness;
mod policy;
mod words;

mod abort;
mod active_backend;
mod active_client;
mod bypass;
mod commands;
mod connect;
mod deadlines;
mod endings;
mod features;
mod hostile;
mod judged;
mod limits;
mod login;
mod mainframe;
mod modes;
mod passive;
mod paths;
mod pipelining;
mod records;
mod rename;
mod renewal;
mod restart;
mod revocation;
mod route;
mod security;
mod sizes;
mod transfer;
mod walking;
