//! Dialling servers.
