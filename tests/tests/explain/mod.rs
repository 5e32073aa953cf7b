//! What is asked of `explain` at random, and the world in which it then happens.

pub(crate) mod questions;
pub(crate) mod rules;
pub(crate) mod world;
