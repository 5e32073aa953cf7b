//! Buffers for chunks in flight, lent only while bytes flow.
//!
//! Large buffers make transfers cheap (system calls and wake-ups are the cost, not cryptography), but a thousand slow
//! clients must not hold a thousand of them. So the number of large ones is bounded for the whole process, and whoever
//! comes later, or was slow with its last chunk, works with a small one.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// How much a transfer would like to have in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// [`LARGE_BYTES`], if one is to be had.
    Large,
    /// [`SMALL_BYTES`].
    Small,
}

/// A buffer on loan. Its contents are whatever the last borrower left.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    size: Size,
}

impl Buffer {
    /// Lends a buffer; a small one where the large ones are all out.
    pub(super) fn lend(wanted: Size) -> Self {
        if wanted == Size::Large
            && let Some(bytes) = LARGE.take()
        {
            return Self { bytes, size: Size::Large };
        }
        Self { bytes: vec![0; SMALL_BYTES].into_boxed_slice(), size: Size::Small }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.size {
            Size::Large => LARGE.put_back(std::mem::take(&mut self.bytes)),
            Size::Small => {}
        }
    }
}

/// Large buffers: how many are out, and a few that rest. The last returned is lent first, while its pages are warm.
struct Pool(Mutex<Shelf>);

struct Shelf {
    lent: usize,
    resting: Vec<Box<[u8]>>,
}

static LARGE: Pool = Pool(Mutex::new(Shelf { lent: 0, resting: Vec::new() }));

impl Pool {
    fn take(&self) -> Option<Box<[u8]>> {
        let resting = {
            let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if shelf.lent == LARGE_LENT_MAX {
                return None;
            }
            shelf.lent += 1;
            shelf.resting.pop()
        };
        Some(resting.unwrap_or_else(|| vec![0; LARGE_BYTES].into_boxed_slice()))
    }

    fn put_back(&self, bytes: Box<[u8]>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.lent -= 1;
        if shelf.resting.len() < LARGE_RESTING_MAX {
            shelf.resting.push(bytes);
        }
    }
}

/// Measured best among 64 KiB to 1 MiB on loopback.
pub(super) const LARGE_BYTES: usize = 512 * 1024;

/// Room for a TLS record above the headroom of a decrypting leg.
pub(super) const SMALL_BYTES: usize = 32 * 1024;

/// With the sealed copies of what they hold, 64 MiB.
const LARGE_LENT_MAX: usize = 64;

/// What an idle gateway keeps: 4 MiB.
const LARGE_RESTING_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_bounded_and_come_back() {
        let pool = Pool(Mutex::new(Shelf { lent: 0, resting: Vec::new() }));
        let lent: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(lent.len(), LARGE_LENT_MAX);
        lent.into_iter().for_each(|bytes| pool.put_back(bytes));
        let shelf = pool.0.lock().unwrap();
        assert_eq!((shelf.lent, shelf.resting.len()), (0, LARGE_RESTING_MAX));
    }
}
