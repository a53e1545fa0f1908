//! The messages of etcd's `api/etcdserverpb/rpc.proto` and `api/mvccpb/kv.proto` (3.4 to 3.7), as far as they are needed.
//!
//! What can hold a value has no `Debug`, so that none is ever printed.

use prost::bytes::Bytes;

pub(super) const RANGE: &str = "/etcdserverpb.KV/Range";
pub(super) const WATCH: &str = "/etcdserverpb.Watch/Watch";
pub(super) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
pub(super) const ALARM: &str = "/etcdserverpb.Maintenance/Alarm";
pub(super) const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Header {
    #[prost(uint64, tag = "2")]
    pub(super) member_id: u64,
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    /// Empty: the key alone.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) limit: i64,
    /// 0: the newest.
    #[prost(int64, tag = "4")]
    pub(super) revision: i64,
    #[prost(bool, tag = "8")]
    pub(super) keys_only: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(message, repeated, tag = "2")]
    pub(super) kvs: Vec<KeyValue>,
    #[prost(bool, tag = "3")]
    pub(super) more: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(int64, tag = "3")]
    pub(super) mod_revision: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) value: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct StatusRequest {}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(int64, tag = "3")]
    pub(super) db_size: i64,
    #[prost(uint64, tag = "4")]
    pub(super) leader: u64,
    #[prost(uint64, tag = "6")]
    pub(super) raft_term: u64,
    #[prost(string, repeated, tag = "8")]
    pub(super) errors: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(super) db_size_in_use: i64,
    #[prost(bool, tag = "10")]
    pub(super) is_learner: bool,
    /// From 3.6 on.
    #[prost(int64, tag = "12")]
    pub(super) db_size_quota: i64,
}

/// Its defaults ask for all alarms of all members.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct AlarmRequest {}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct AlarmResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) alarms: Vec<AlarmMember>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct AlarmMember {
    #[prost(uint64, tag = "1")]
    pub(super) member_id: u64,
    #[prost(int32, tag = "2")]
    pub(super) alarm: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct MemberListRequest {
    #[prost(bool, tag = "1")]
    pub(super) linearizable: bool,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::adapters) struct MemberListResponse {
    #[prost(message, repeated, tag = "2")]
    pub(in crate::adapters) members: Vec<Member>,
}

/// A voting member or a learner: both are nodes.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(in crate::adapters) struct Member {
    #[prost(uint64, tag = "1")]
    pub(in crate::adapters) id: u64,
    /// Empty until it has started.
    #[prost(string, tag = "2")]
    pub(in crate::adapters) name: String,
    /// Where the others reach it.
    #[prost(string, repeated, tag = "3")]
    pub(in crate::adapters) peer_urls: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WatchRequest {
    #[prost(oneof = "WatchDemand", tags = "1, 3")]
    pub(super) demand: Option<WatchDemand>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub(super) enum WatchDemand {
    #[prost(message, tag = "1")]
    Create(WatchCreate),
    #[prost(message, tag = "3")]
    Progress(WatchProgress),
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WatchCreate {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) range_end: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(super) start_revision: i64,
    #[prost(bool, tag = "4")]
    pub(super) progress_notify: bool,
    /// A large revision comes in several messages.
    #[prost(bool, tag = "8")]
    pub(super) fragment: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct WatchProgress {}

#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<Header>,
    #[prost(bool, tag = "3")]
    pub(super) created: bool,
    #[prost(bool, tag = "4")]
    pub(super) canceled: bool,
    #[prost(int64, tag = "5")]
    pub(super) compact_revision: i64,
    #[prost(string, tag = "6")]
    pub(super) cancel_reason: String,
    #[prost(bool, tag = "7")]
    pub(super) fragment: bool,
    #[prost(message, repeated, tag = "11")]
    pub(super) events: Vec<RawEvent>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct RawEvent {
    /// 0: put, 1: delete.
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) kv: Option<KeyValue>,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_messages_are_those_of_etcd() {
        let request = MemberListRequest { linearizable: true }.encode_to_vec();
        assert_eq!(request, [0x08, 0x01]);
        // header {cluster_id 7}, member {ID 300, name "cp-1", peerURLs "https://192.0.2.1:2380", isLearner}
        let mut answer = vec![0x0a, 0x02, 0x08, 0x07, 0x12, 0x23, 0x08, 0xac, 0x02, 0x12, 0x04];
        answer.extend(b"cp-1");
        answer.extend([0x1a, 0x16]);
        answer.extend(b"https://192.0.2.1:2380");
        answer.extend([0x28, 0x01]);
        assert_eq!(
            MemberListResponse::decode(answer.as_slice()),
            Ok(MemberListResponse {
                members: vec![Member {
                    id: 300,
                    name: "cp-1".to_owned(),
                    peer_urls: vec!["https://192.0.2.1:2380".to_owned()],
                }]
            })
        );
    }
}
