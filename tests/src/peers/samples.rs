//! Files to be sent, and their comparison by SHA-256.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes that no compression shortens, the same ones for the same `seed`.
pub fn noise(seed: u64) -> impl Iterator<Item = u8> {
    // splitmix64: every seed is a good one, zero too.
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    })
    .flatten()
}

/// Writes a file of `length` bytes: one mebibyte of noise, again and again, each time under its own number.
///
/// # Panics
///
/// If the file cannot be written.
pub fn write_noise(path: &Path, length: usize, seed: u64) {
    let block = noise(seed).take(length.min(MEBIBYTE)).collect::<Vec<_>>();
    let mut file = BufWriter::new(File::create(path).expect("the scratch folder can be written"));
    let mut left = length;
    for number in 0_u64.. {
        if left == 0 {
            break;
        }
        let size = left.min(block.len());
        let mut numbered = block[..size].to_vec();
        for (byte, digit) in numbered.iter_mut().zip(number.to_le_bytes()) {
            *byte ^= digit;
        }
        file.write_all(&numbered).expect("the disk has room");
        left -= size;
    }
    file.flush().expect("the disk has room");
}

/// The SHA-256 of a file.
///
/// # Panics
///
/// If the file cannot be read.
pub fn digest(path: &Path) -> String {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file = BufReader::with_capacity(MEBIBYTE, file);
    let mut hash = Sha256::new();
    let mut block = vec![0; MEBIBYTE];
    loop {
        match file.read(&mut block).expect("the file can be read") {
            0 => break,
            length => hash.update(&block[..length]),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Asserts that two files hold the same bytes.
///
/// # Panics
///
/// If they do not.
pub fn assert_same(sent: &Path, received: &Path) {
    let sizes = [sent, received].map(|path| path.metadata().map(|metadata| metadata.len()).ok());
    assert!(
        sizes[0].is_some() && sizes[0] == sizes[1] && digest(sent) == digest(received),
        "{} ({:?} bytes) is not {} ({:?} bytes)",
        received.display(),
        sizes[1],
        sent.display(),
        sizes[0],
    );
}

/// 1 MiB in bytes.
pub const MEBIBYTE: usize = 1 << 20;
