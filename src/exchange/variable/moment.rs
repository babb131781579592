//! From when on a variable is known.

use super::Variable;

/// How far an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The head of the request is there.
    Request,
    /// The head of the response is there, unsent.
    Response,
    /// It is over.
    End,
}

impl Variable {
    /// From when on it is known.
    pub fn known_at(&self) -> Moment {
        match self {
            Self::PolicyWouldRefuse
            | Self::RequestBytes
            | Self::ResponseBytes
            | Self::ResponseDurationMs
            | Self::ResponseDurationUs => Moment::End,
            Self::CacheStatus
            | Self::PhaseReadMs
            | Self::PhaseRouteMs
            | Self::PolicyName
            | Self::ResponseReason
            | Self::ResponseStatus
            | Self::ResponseWhy
            | Self::UpstreamConnectMs
            | Self::UpstreamEndpoint
            | Self::UpstreamFirstByteMs
            | Self::UpstreamName
            | Self::UpstreamStatus
            | Self::UpstreamTries => Moment::Response,
            _ => Moment::Request,
        }
    }
}
