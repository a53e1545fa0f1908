//! One connection to etcd, each question with a deadline.

use std::time::Duration;

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_prost::ProstCodec;

use super::access::{Access, Tls};
use super::error::EtcdError;
use super::messages::{
    Header, MEMBER_LIST, Member, MemberListRequest, MemberListResponse, RANGE, RangeRequest, RangeResponse,
};
use super::range::Entry;
use crate::adapters::cluster::with_causes;

/// One answer of so many bytes is taken at most; a value of etcd's default limit is 1.5 MiB.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

/// What HTTP/2 may send ahead of what is read, so that a large answer does not fill the memory before it is refused.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// A dead connection is noticed by these even when nothing is asked, as while a watch is quiet. etcd allows a ping every 5 s.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_DEADLINE: Duration = Duration::from_secs(10);

/// Where the API server writes down to which revision it had etcd compact; it lies outside of its prefix.
const COMPACT_REV_KEY: &[u8] = b"compact_rev_key";

/// A connection to one endpoint. It is cheap to clone; after an error a new one is opened, which may be to another endpoint.
#[derive(Debug, Clone)]
pub struct Etcd {
    endpoint: String,
    channel: Channel,
    timeout: Duration,
}

impl Etcd {
    /// A connection to the first endpoint that answers, and answers for the cluster and not only for itself. Each question will be
    /// waited for that long at most.
    ///
    /// # Errors
    /// [`EtcdError::NoEndpoint`] with what each said.
    pub async fn connect(access: &Access, timeout: Duration) -> Result<Self, EtcdError> {
        let mut errors = Vec::new();
        for endpoint in &access.endpoints {
            match Self::probed(endpoint, access.tls.as_ref(), timeout).await {
                Ok(etcd) => return Ok(etcd),
                Err(error) => errors.push(error),
            }
        }
        Err(EtcdError::NoEndpoint(errors))
    }

    async fn probed(endpoint: &str, tls: Option<&Tls>, timeout: Duration) -> Result<Self, EtcdError> {
        let etcd = Self::dial(endpoint, tls, timeout).await?;
        etcd.revision().await?;
        Ok(etcd)
    }

    /// A connection to this endpoint.
    pub(in crate::adapters) async fn dial(
        endpoint: &str,
        tls: Option<&Tls>,
        timeout: Duration,
    ) -> Result<Self, EtcdError> {
        let unreachable = |error: &dyn std::error::Error| EtcdError::Unreachable {
            endpoint: endpoint.to_owned(),
            why: with_causes(error),
        };
        let mut target = Channel::from_shared(endpoint.to_owned()).map_err(|error| unreachable(&error))?;
        if let Some(tls) = tls.filter(|_| endpoint.starts_with("https://")) {
            target = target
                .tls_config(client_tls(tls))
                .map_err(|error| unreachable(&error))?;
        }
        let target = with_limits(target);
        let channel = tokio::time::timeout(timeout, target.connect())
            .await
            .map_err(|_| EtcdError::Deadline {
                endpoint: endpoint.to_owned(),
                after: timeout,
            })?
            .map_err(|error| unreachable(&error))?;
        Ok(Self {
            endpoint: endpoint.to_owned(),
            channel,
            timeout,
        })
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// How long one question is waited for.
    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn grpc(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// `revision` is the one that the question is about, if any.
    pub(super) fn error(&self, status: &tonic::Status, revision: i64) -> EtcdError {
        EtcdError::of_status(&self.endpoint, status, revision)
    }

    pub(super) fn nonsense(&self, what: &'static str) -> EtcdError {
        EtcdError::Nonsense {
            endpoint: self.endpoint.clone(),
            what,
        }
    }

    pub(super) fn late(&self) -> EtcdError {
        EtcdError::Deadline {
            endpoint: self.endpoint.clone(),
            after: self.timeout,
        }
    }

    /// One question and its answer of `max` bytes at most, or what etcd says instead.
    pub(super) async fn ask<Q, A>(
        &self,
        path: &'static str,
        question: Q,
        max: usize,
    ) -> Result<Result<A, tonic::Status>, EtcdError>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let mut grpc = self.grpc().max_decoding_message_size(max);
        let asking = async {
            if let Err(error) = grpc.ready().await {
                return Err(EtcdError::Unreachable {
                    endpoint: self.endpoint.clone(),
                    why: with_causes(&error),
                });
            }
            let codec = ProstCodec::<Q, A>::default();
            let path = PathAndQuery::from_static(path);
            let answer = grpc.unary(tonic::Request::new(question), path, codec).await;
            Ok(answer.map(tonic::Response::into_inner))
        };
        tokio::time::timeout(self.timeout, asking)
            .await
            .map_err(|_| self.late())?
    }

    pub(super) async fn range(
        &self,
        request: RangeRequest,
        max: usize,
    ) -> Result<Result<(Header, RangeResponse), tonic::Status>, EtcdError> {
        match self.ask::<_, RangeResponse>(RANGE, request, max).await? {
            Ok(answer) => {
                let header = answer
                    .header
                    .filter(|header| header.revision > 0)
                    .ok_or_else(|| self.nonsense("a range without a revision"))?;
                Ok(Ok((header, answer)))
            }
            Err(status) => Ok(Err(status)),
        }
    }

    /// The newest revision, by the quorum.
    ///
    /// # Errors
    /// When etcd does not answer or refuses.
    pub async fn revision(&self) -> Result<i64, EtcdError> {
        let (header, _) = self.one(COMPACT_REV_KEY, 0, true).await?;
        Ok(header.revision)
    }

    /// The value of one key at a revision (0: the newest), by the quorum; `None` when there is no such key.
    ///
    /// # Errors
    /// [`EtcdError::Compacted`] when the revision is no longer there; and when etcd does not answer or refuses.
    pub async fn get(&self, key: &[u8], revision: i64) -> Result<Option<Entry>, EtcdError> {
        let (_, answer) = self.one(key, revision, false).await?;
        Ok(answer.kvs.into_iter().next().map(Entry::from))
    }

    /// The revision to which the API server last had etcd compact, by its own note; `None` when it has not done so yet (a fresh one
    /// notes 0), or something else compacts.
    ///
    /// # Errors
    /// When etcd does not answer or refuses, or the note is no number.
    pub async fn compacted_revision(&self) -> Result<Option<i64>, EtcdError> {
        let Some(note) = self.get(COMPACT_REV_KEY, 0).await? else {
            return Ok(None);
        };
        std::str::from_utf8(&note.value)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(|revision| Some(revision).filter(|revision| *revision > 0))
            .ok_or_else(|| self.nonsense("compact_rev_key is no number"))
    }

    /// Whether etcd itself says that a revision is compacted: then nothing can read what was stored at it any more. A compaction at
    /// revision C keeps C and gives up all before it.
    ///
    /// # Errors
    /// When etcd does not answer, or refuses for another reason, as when the revision is in the future.
    pub async fn is_compacted(&self, revision: i64) -> Result<bool, EtcdError> {
        match self.one(COMPACT_REV_KEY, revision, true).await {
            Ok(_) => Ok(false),
            Err(error) if error.is_compacted() => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn one(
        &self,
        key: &[u8],
        revision: i64,
        keys_only: bool,
    ) -> Result<(Header, RangeResponse), EtcdError> {
        let request = RangeRequest {
            key: key.to_vec(),
            range_end: Vec::new(),
            limit: 1,
            revision,
            keys_only,
        };
        self.range(request, MAX_MESSAGE)
            .await?
            .map_err(|status| self.error(&status, revision))
    }

    /// The members of the cluster, by the quorum: one that lags behind would not know the newest.
    pub(in crate::adapters) async fn members(&self) -> Result<Vec<Member>, EtcdError> {
        let request = MemberListRequest { linearizable: true };
        self.ask::<_, MemberListResponse>(MEMBER_LIST, request, MAX_MESSAGE)
            .await?
            .map(|answer| answer.members)
            .map_err(|status| self.error(&status, 0))
    }
}

fn client_tls(tls: &Tls) -> ClientTlsConfig {
    let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authority));
    match &tls.identity {
        Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key.as_slice())),
        None => config,
    }
}

fn with_limits(target: Endpoint) -> Endpoint {
    target
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_DEADLINE)
}
