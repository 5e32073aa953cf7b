//! The harness of ftpsgate's end-to-end tests.

pub mod peers;

/// stand-in
pub mod gateway {
    /// stand-in
    pub const CANARY: &str = "canary-5JqX0vRz-never-to-be-logged";
}
