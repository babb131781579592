//! A certificate that nobody vouches for, made in memory: for development.

use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;

use super::certificate::Certificate;

/// How long it holds: as long as browsers take one from an authority of their owner's.
const LIFETIME: Duration = Duration::from_hours(825 * 24);

impl Certificate {
    /// One for these names and addresses, which holds from `now` on, in time since 1970.
    ///
    /// # Errors
    /// A name is none, or the system has no randomness.
    pub fn self_signed(names: &[String], now: Duration) -> Result<Self, String> {
        let make = || {
            let mut params = CertificateParams::new(names)?;
            params
                .distinguished_name
                .push(DnType::CommonName, "httpserverd, self-signed");
            params.not_before = date_time_ymd(1970, 1, 1) + now;
            params.not_after = params.not_before + LIFETIME;
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            Ok((certificate, key))
        };
        let (certificate, key) = make().map_err(|error: rcgen::Error| error.to_string())?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let chain = vec![certificate.der().clone()];
        Self::new(chain, key).map_err(|mistake| mistake.what)
    }
}
