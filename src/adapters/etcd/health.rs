//! How etcd is: its size, its leader, its alarms.

use super::client::{Etcd, MAX_MESSAGE};
use super::error::EtcdError;
use super::messages::{ALARM, AlarmRequest, AlarmResponse, STATUS, StatusRequest, StatusResponse};

/// The state of the member that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its version, as `3.6.4`.
    pub version: String,
    /// The member's id.
    pub member: u64,
    /// The size of its database file, in bytes: what counts against the quota.
    pub db_size: u64,
    /// The part of it that is in use, in bytes; a defragmentation gives the rest back.
    pub db_size_in_use: u64,
    /// Its quota, in bytes. `None` before etcd 3.6, which did not tell.
    pub db_size_quota: Option<u64>,
    /// The id of the member that leads; `None` when there is none.
    pub leader: Option<u64>,
    /// The term of that leader.
    pub raft_term: u64,
    /// Whether it does not vote yet.
    pub is_learner: bool,
    /// What it complains about, in its words; an alarm is among them.
    pub errors: Vec<String>,
}

/// An alarm: until it is disarmed, etcd refuses writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The database has reached its quota.
    NoSpace {
        /// The member that raised it.
        member: u64,
    },
    /// The members differ.
    Corrupt {
        /// The member that raised it.
        member: u64,
    },
    /// Another one, by its number.
    Other {
        /// The member that raised it.
        member: u64,
        /// The number.
        kind: i32,
    },
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSpace { member } => write!(f, "NOSPACE of member {member:x}"),
            Self::Corrupt { member } => write!(f, "CORRUPT of member {member:x}"),
            Self::Other { member, kind } => write!(f, "alarm {kind} of member {member:x}"),
        }
    }
}

impl Etcd {
    /// The state of this member.
    ///
    /// # Errors
    /// When etcd does not answer or refuses.
    pub async fn status(&self) -> Result<Status, EtcdError> {
        let answer = self
            .ask::<_, StatusResponse>(STATUS, StatusRequest {}, MAX_MESSAGE)
            .await?
            .map_err(|status| self.error(&status, 0))?;
        let size = |bytes: i64| u64::try_from(bytes).map_err(|_| self.nonsense("a size below zero"));
        Ok(Status {
            version: answer.version,
            member: answer.header.map_or(0, |header| header.member_id),
            db_size: size(answer.db_size)?,
            db_size_in_use: size(answer.db_size_in_use)?,
            db_size_quota: Some(size(answer.db_size_quota)?).filter(|quota| *quota > 0),
            leader: Some(answer.leader).filter(|leader| *leader > 0),
            raft_term: answer.raft_term,
            is_learner: answer.is_learner,
            errors: answer.errors,
        })
    }

    /// The alarms of all members.
    ///
    /// # Errors
    /// When etcd does not answer or refuses.
    pub async fn alarms(&self) -> Result<Vec<Alarm>, EtcdError> {
        let answer = self
            .ask::<_, AlarmResponse>(ALARM, AlarmRequest {}, MAX_MESSAGE)
            .await?
            .map_err(|status| self.error(&status, 0))?;
        let alarm = |(member, kind): (u64, i32)| match kind {
            1 => Alarm::NoSpace { member },
            2 => Alarm::Corrupt { member },
            kind => Alarm::Other { member, kind },
        };
        Ok(answer
            .alarms
            .iter()
            .map(|raised| alarm((raised.member_id, raised.alarm)))
            .collect())
    }
}
