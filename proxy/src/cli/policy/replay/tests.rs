//! Logs against policies.
