//! The yardstick of clear transfers: a process that copies one direction through a buffer of 256 KiB.
//!
//! It is this very program, started again with [`ARGUMENT`] and an address; it prints the port on which it
//! listens, and copies what that address sends to whoever connects.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::backend::ZEROS;

/// Makes the program be the copier.
pub(super) const ARGUMENT: &str = "--copy-from";

/// A running copier, and a source of zeros in this process behind it.
pub(super) struct PlainCopy {
    process: Child,
    address: SocketAddr,
}

impl PlainCopy {
    /// Starts one whose source sends `length` bytes on each connection.
    pub(super) fn start(length: usize) -> io::Result<Self> {
        let source = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = source.local_addr()?;
        thread::spawn(move || {
            for mut sink in source.incoming().flatten() {
                let mut left = length;
                while left > 0 {
                    match sink.write(&ZEROS[..left.min(ZEROS.len())]) {
                        Ok(bytes) => left -= bytes,
                        Err(_) => break,
                    }
                }
            }
        });
        let mut process = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, &address.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().expect("standard output is piped");
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port)?;
        let port = port.trim().parse().map_err(io::Error::other)?;
        Ok(Self { process, address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port) })
    }

    /// The copying process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Takes one connection's bytes; answers how many there were.
    pub(super) fn get(&self) -> io::Result<usize> {
        let mut tcp = TcpStream::connect(self.address)?;
        let mut buffer = vec![0; ZEROS.len()];
        let mut received = 0;
        loop {
            match tcp.read(&mut buffer)? {
                0 => return Ok(received),
                bytes => received += bytes,
            }
        }
    }
}

impl Drop for PlainCopy {
    fn drop(&mut self) {
        // Fails only on a process that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The copier itself; runs until it is killed.
pub(super) fn serve(source: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    let mut buffer = vec![0; 256 * 1024];
    for sink in listener.incoming() {
        let (mut sink, mut source) = (sink?, TcpStream::connect(source)?);
        loop {
            let bytes = source.read(&mut buffer)?;
            if bytes == 0 {
                break;
            }
            sink.write_all(&buffer[..bytes])?;
        }
    }
    Ok(())
}
