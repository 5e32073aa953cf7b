//! Logging in afresh, before a data connection to the backend that could not prove where it belongs.

use super::Session;
use super::event::Now;

impl Session {
    /// Prepares the backend's side of a data connection: every way to make one begins here, with `transfer` a
    /// `Setup` whose backend is `Pending`.
    ///
    /// Calls [`Session::begin_backend_data`], at once or when the session has logged in afresh; or
    /// [`Session::fail_backend_data`], if it could not.
    pub(super) fn prepare_backend_data(&mut self, now: Now) {
        self.begin_backend_data(now);
    }
}
