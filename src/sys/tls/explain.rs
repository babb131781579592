//! Why a server could not be talked to, for whoever reads it at three in the morning.

use std::fmt;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::HandshakeError;

impl HandshakeError {
    /// Whether the server's certificate is at fault.
    pub const fn is_of_certificate(&self) -> bool {
        matches!(self, Self::Refused(Error::InvalidCertificate(_)))
    }
}

impl fmt::Display for HandshakeError {
    /// As seen by the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) => write!(f, "the connection broke in the TLS handshake: {error}"),
            Self::Gone => f.write_str("the server closed the connection in the TLS handshake"),
            Self::NotTls(_) => f.write_str(NOT_TLS),
            Self::Refused(error) => f.write_str(&explained(error)),
        }
    }
}

const NOT_TLS: &str = "the server does not speak TLS; perhaps it is http:// at this port";

/// What an error of a session means, seen by the client.
pub fn explained(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => format!("the server refused: {}", told(*alert)),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => NOT_TLS.to_owned(),
        Error::NoCertificatesPresented => "the server showed no certificate".to_owned(),
        Error::NoApplicationProtocol => "the server speaks none of our protocols".to_owned(),
        other => format!("TLS failed: {other}"),
    }
}

/// What an error of reading or writing means, if it is one of the session.
pub fn explained_io(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?.downcast_ref::<Error>()?;
    Some(explained(inner))
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names = if presented.is_empty() {
                "no name at all".to_owned()
            } else {
                presented.join(", ")
            };
            let expected = expected.to_str();
            format!("its certificate is not valid for the name {expected} but for {names}")
        }
        CertificateError::NotValidForName => "its certificate is not valid for its name".to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("its certificate expired {} ago", ago(*not_after, *time))
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let left = ago(*time, *not_before);
            format!("its certificate is not valid for another {left}; is the clock right?")
        }
        CertificateError::UnknownIssuer => {
            "its certificate was issued by nobody that is trusted here; `ca` names its authority"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "its certificate was not signed by the authority that it names; `ca` holds another \
             one of that name"
                .to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    }
}

/// The time between both, in its largest unit.
fn ago(then: UnixTime, now: UnixTime) -> String {
    let seconds = now.as_secs().saturating_sub(then.as_secs());
    let (count, unit) = match seconds {
        0..120 => (seconds, "seconds"),
        120..7_200 => (seconds / 60, "minutes"),
        7_200..172_800 => (seconds / 3_600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{count} {unit}")
}

fn told(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it wants a client certificate, see `client_certificate`".to_owned()
        }
        AlertDescription::HandshakeFailure => {
            "nothing could be agreed on; some servers say so where they want a client certificate"
                .to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired => {
            format!("it does not accept our client certificate ({alert:?})")
        }
        AlertDescription::UnrecognisedName => {
            "it serves no site of this name, see `server_name`".to_owned()
        }
        AlertDescription::NoApplicationProtocol => "it speaks none of our protocols".to_owned(),
        AlertDescription::ProtocolVersion => "it speaks only older versions of TLS".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::tls::ServerName;

    #[track_caller]
    fn check(error: CertificateError, expected: &str) {
        let error = HandshakeError::Refused(Error::InvalidCertificate(error));
        assert!(error.is_of_certificate());
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        check(
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("a.example").unwrap(),
                presented: vec!["b.example".into(), "c.example".into()],
            },
            "its certificate is not valid for the name a.example but for b.example, c.example",
        );
        check(
            CertificateError::ExpiredContext {
                time: at(86_400 * 10),
                not_after: at(86_400 * 7),
            },
            "its certificate expired 3 days ago",
        );
        check(
            CertificateError::NotValidYetContext {
                time: at(0),
                not_before: at(600),
            },
            "its certificate is not valid for another 10 minutes; is the clock right?",
        );
    }
}
