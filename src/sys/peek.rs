//! Looking at what a socket holds without taking it, and taking exactly so much.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;

use super::transport::Transport;

/// Copies what there is behind what `buffer` holds, into its spare room; all of it is still there
/// to be read. `Ok(0)`: the peer has ended its direction. `WouldBlock`: nothing is there.
pub fn peek(transport: &Transport, buffer: &mut Vec<u8>) -> io::Result<usize> {
    debug_assert!(buffer.capacity() > buffer.len(), "a read needs room");
    transport.try_io(Interest::READABLE, || {
        loop {
            match recv(transport, spare_capacity(buffer), RecvFlags::PEEK) {
                Err(rustix::io::Errno::INTR) => {}
                done => return Ok(done?.1),
            }
        }
    })
}

/// Takes as many bytes as `place` holds, which have been looked at before.
pub fn take(transport: &Transport, place: &mut [u8]) -> io::Result<()> {
    let mut taken = 0;
    while let Some(left) = place.get_mut(taken..).filter(|left| !left.is_empty()) {
        match recv(transport, left, RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            done => taken += done?.1,
        }
    }
    Ok(())
}
