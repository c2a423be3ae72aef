//! What a simulated cluster is made of.

use crate::request::User;
use crate::time::Timestamp;

/// How requests are authorised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authorization {
    /// Everybody may do everything, with or without a token.
    #[default]
    AlwaysAllow,
    /// Role-based access control.
    Rbac,
}

/// A bearer token and whose it is.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Its user.
    pub user: User,
}

/// The configuration of an [`ApiServer`](super::ApiServer).
#[derive(Clone, Debug)]
pub struct Config {
    /// How many API servers share the storage.
    pub servers: u32,
    /// Watch caches follow every write at once. Otherwise each step is a [`Chore`](super::Chore).
    pub caches_follow: bool,
    /// How requests are authorised.
    pub authorization: Authorization,
    /// Known bearer tokens.
    pub tokens: Vec<Token>,
    /// The ServiceAccount admission plugin.
    pub service_account_admission: bool,
    /// The garbage collector runs.
    pub garbage_collector: bool,
    /// The namespace controller runs.
    pub namespace_controller: bool,
    /// Seconds an Event lives after its last write; 0 = for ever.
    pub event_ttl_seconds: u64,
    /// Seconds between compactions; 0 = never.
    pub compaction_seconds: u64,
    /// What watches are told is checked against the log ([`ApiServer::breach`](super::ApiServer::breach)).
    pub check_watches: bool,
    /// The creation time of the bootstrap objects.
    pub began: Timestamp,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            servers: 1,
            caches_follow: false,
            authorization: Authorization::AlwaysAllow,
            tokens: Vec::new(),
            service_account_admission: false,
            garbage_collector: true,
            namespace_controller: true,
            event_ttl_seconds: 3600,
            compaction_seconds: 300,
            check_watches: false,
            began: Timestamp::from_seconds(1_767_225_600),
        }
    }
}
