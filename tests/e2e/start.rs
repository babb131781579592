//! Starting: ready or refused, never half.

use crate::support::daemon::Daemon;

#[test]
fn bad_usage_is_2() {
    let refused = Daemon::setup().arg("--no-such-flag").run();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--no-such-flag"), "{refused:?}");
    assert_eq!(refused.stdout, "");
}
