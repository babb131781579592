//! What this process or its machine has run out of: nobody else's fault.

use std::io;

use rustix::io::Errno;

/// What is short, in words that end a sentence, if a call failed for that.
pub fn shortage(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some("`ulimit -n`, or LimitNOFILE= of the unit, is too low"),
        Errno::NFILE => Some("the machine's fs.file-max is too low"),
        Errno::NOBUFS | Errno::NOMEM => Some("the machine has no memory left"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_do_is_no_shortage() {
        assert!(shortage(&Errno::MFILE.into()).is_some());
        assert!(shortage(&Errno::CONNREFUSED.into()).is_none());
        assert!(shortage(&io::Error::other("x")).is_none());
    }
}
