//! ftpsgate: an FTPS-terminating proxy for FTP servers that cannot be changed.
//!
//! Read in this order: [`config`], [`server`], [`listener`], [`driver`], then [`backend`], [`control`] and
//! [`data`], which all stand on [`tls`]; [`proxy_protocol`] is spoken before all of them.

pub mod admin;
pub mod audit;
pub mod backend;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod data;
#[cfg(feature = "demo")]
pub mod demo;
pub mod driver;
pub mod inherited;
pub mod limits;
pub mod listener;
pub mod logging;
pub mod proxy_protocol;
pub mod server;
pub mod service;
pub mod socket;
pub mod tls;
