//! Open sockets, handed from one process to another over a unix socket (`SCM_RIGHTS`).
//!
//! Each message is a line of text and the descriptors that belong to it; the receiver learns
//! nothing else of its sender, and the descriptors arrive open or not at all.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The longest text of a message: a path of the file system, and some more.
const TEXT_MAX: usize = 4096 + 64;

/// How many descriptors a message may carry: the kernel's `SCM_MAX_FD`.
pub const DESCRIPTORS_MAX: usize = 253;

/// Sends a line of text with descriptors, which stay open here, too.
///
/// `to` is a connected unix socket that keeps messages apart (`SOCK_SEQPACKET`).
///
/// # Errors
/// The kernel's; too long a text or too many descriptors are `EMSGSIZE` or `EINVAL`.
pub fn send(to: impl AsFd, text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if text.len() > TEXT_MAX {
        return Err(rustix::io::Errno::MSGSIZE.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let text = [IoSlice::new(text.as_bytes())];
    sendmsg(to, &text, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for the next message; `None` when the other side has closed.
///
/// # Errors
/// The kernel's; a message that is no text or was cut is `InvalidData`.
pub fn receive(from: impl AsFd) -> io::Result<Option<(String, Vec<OwnedFd>)>> {
    let mut bytes = [0; TEXT_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(
        from,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut control,
        flags,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if received.bytes == 0 && descriptors.is_empty() {
        return Ok(None);
    }
    let text = bytes.get(..received.bytes).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some((text.to_owned(), descriptors)))
}

/// Two connected sockets that keep messages apart.
///
/// # Errors
/// The kernel's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listening_socket_arrives_open_with_its_text() {
        let (ours, theirs) = pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        send(&ours, "a", &[listener.as_fd(), listener.as_fd()]).unwrap();
        send(&ours, "b", &[]).unwrap();
        drop((ours, listener));

        let (text, mut descriptors) = receive(&theirs).unwrap().unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("a", 2));
        let adopted = TcpListener::from(descriptors.pop().unwrap());
        TcpStream::connect(address).unwrap();
        adopted.accept().unwrap();
        assert_eq!(receive(&theirs).unwrap().unwrap().0, "b");
        assert!(receive(&theirs).unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_or_too_much_is_not_sent() {
        let (ours, theirs) = pair().unwrap();
        assert!(send(&ours, &"a".repeat(TEXT_MAX + 1), &[]).is_err());
        let many = [theirs.as_fd(); DESCRIPTORS_MAX + 1];
        assert!(send(&ours, "a", &many).is_err());
        assert!(send(&ours, "a", &many[1..]).is_ok());
    }
}
