//! The server: HTTP/2 and the framing of gRPC, by hand.

use std::sync::Arc;

use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use prost::Message;
use prost::bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::messages::{
    AlarmMember, AlarmRequest, AlarmResponse, Event, KeyValue, Member, MemberListResponse, RangeRequest,
    RangeResponse, ResponseHeader, StatusResponse, WatchCreateRequest, WatchRequest, WatchResponse,
    WatchUnion,
};
use super::store::Compacted;
use super::{Call, Handle, Reply, Store};

const MEMBER: u64 = 0xabc;
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const OUT_OF_RANGE: u16 = 11;

/// An answer, or a code of gRPC and a message.
type Answer = Result<Vec<u8>, (u16, String)>;

pub fn run(
    listener: std::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    handle: &Handle,
    mut stop: watch::Receiver<bool>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let accepting = async {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let handle = handle.clone();
                match tls.clone() {
                    Some(config) => drop(tokio::spawn(async move {
                        // A client without the right certificate is its own affair.
                        if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                            connection(stream, handle).await;
                        }
                    })),
                    None => drop(tokio::spawn(connection(stream, handle))),
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            stopped = stop.wait_for(|stop| *stop) => drop(stopped),
        }
    });
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, handle: Handle) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let handle = handle.clone();
        drop(tokio::spawn(async move {
            let path = request
                .uri()
                .path()
                .trim_start_matches("/etcdserverpb.")
                .to_owned();
            let body = request.into_body();
            if path == "Watch/Watch" {
                drop(watch_stream(body, respond, &handle).await);
            } else {
                drop(unary(&path, body, respond, &handle).await);
            }
        }));
    }
}

fn headers() -> http::response::Builder {
    http::Response::builder().header("content-type", "application/grpc")
}

fn refuse(mut respond: SendResponse<Bytes>, code: u16, message: &str) -> Result<(), h2::Error> {
    let answer = headers()
        .header("grpc-status", code.to_string())
        .header("grpc-message", message)
        .body(())
        .expect("a response");
    respond.send_response(answer, true).map(drop)
}

async fn unary(
    path: &str,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    handle: &Handle,
) -> Result<(), h2::Error> {
    let mut request = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        request.extend_from_slice(&chunk);
    }
    let reply = handle.ask_hook(path);
    match reply {
        Reply::Answer => {}
        Reply::Late(after) => tokio::time::sleep(after).await,
        Reply::Hang => std::future::pending().await,
        Reply::Refuse(code, message) => return refuse(respond, code, &message),
    }
    let answer = answer(path, request.get(5..).unwrap_or_default(), &handle.store());
    match answer {
        Ok(message) => {
            handle.log(path, message.len());
            let mut stream = respond.send_response(headers().body(()).expect("a response"), false)?;
            stream.send_data(frame(&message), false)?;
            let trailers = [(
                http::HeaderName::from_static("grpc-status"),
                "0".parse().expect("a value"),
            )];
            stream.send_trailers(trailers.into_iter().collect())
        }
        Err((code, message)) => {
            handle.log(path, 0);
            refuse(respond, code, &message)
        }
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = vec![0];
    frame.extend(
        u32::try_from(message.len())
            .expect("a small message")
            .to_be_bytes(),
    );
    frame.extend_from_slice(message);
    frame.into()
}

fn header(store: &Store) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: 7,
        member_id: MEMBER,
        revision: store.revision(),
        raft_term: 3,
    })
}

fn answer(path: &str, request: &[u8], store: &Store) -> Answer {
    match path {
        "KV/Range" => range(&RangeRequest::decode(request).expect("a request"), store),
        "Maintenance/Status" => Ok(StatusResponse {
            header: header(store),
            version: store.version.clone(),
            db_size: store.sizes[0],
            leader: if store.leads { MEMBER } else { 0 },
            raft_index: 10,
            raft_term: 3,
            raft_applied_index: 10,
            errors: store.errors.clone(),
            db_size_in_use: store.sizes[1],
            is_learner: false,
            storage_version: "3.6.0".to_owned(),
            db_size_quota: store.sizes[2],
        }
        .encode_to_vec()),
        "Maintenance/Alarm" => {
            let request = AlarmRequest::decode(request).expect("a request");
            assert_eq!(request, AlarmRequest::default(), "alarms are only read");
            Ok(AlarmResponse {
                header: header(store),
                alarms: store
                    .alarms
                    .iter()
                    .map(|&alarm| AlarmMember {
                        member_id: MEMBER,
                        alarm,
                    })
                    .collect(),
            }
            .encode_to_vec())
        }
        "Cluster/MemberList" => Ok(MemberListResponse {
            header: header(store),
            members: (MEMBER..)
                .zip(&store.members)
                .map(|(id, name)| Member {
                    id,
                    name: name.clone(),
                    peer_urls: vec!["https://192.0.2.1:2380".to_owned()],
                })
                .collect(),
        }
        .encode_to_vec()),
        other => Err((12, format!("unknown method {other}"))),
    }
}

fn range(request: &RangeRequest, store: &Store) -> Answer {
    assert!(!request.serializable, "a proof needs the quorum");
    if request.revision > store.revision() {
        return Err((OUT_OF_RANGE, FUTURE.to_owned()));
    }
    let found = store
        .range(&request.key, &request.range_end, request.revision)
        .map_err(|Compacted| (OUT_OF_RANGE, COMPACTED.to_owned()))?;
    let limit = usize::try_from(request.limit).expect("no negative limit");
    let count = found.len();
    let shown = if limit == 0 { count } else { count.min(limit) };
    let kvs = found.into_iter().take(shown).map(|(key, revision, value)| {
        let value = if request.keys_only { Bytes::new() } else { value };
        pair(key, revision, value)
    });
    Ok(RangeResponse {
        header: header(store),
        kvs: kvs.collect(),
        more: shown < count,
        count: i64::try_from(count).expect("few keys"),
    }
    .encode_to_vec())
}

fn pair(key: Vec<u8>, mod_revision: i64, value: Bytes) -> KeyValue {
    KeyValue {
        key: key.into(),
        create_revision: mod_revision,
        mod_revision,
        version: 1,
        value,
        lease: 0,
    }
}

/// One watch of a stream; Holdfast opens no more on one.
struct Watcher {
    create: WatchCreateRequest,
    next: i64,
}

async fn watch_stream(
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    handle: &Handle,
) -> Result<(), h2::Error> {
    match handle.ask_hook("Watch/Watch") {
        Reply::Answer => {}
        Reply::Late(after) => tokio::time::sleep(after).await,
        Reply::Hang => std::future::pending().await,
        Reply::Refuse(code, message) => return refuse(respond, code, &message),
    }
    let mut stream = respond.send_response(headers().body(()).expect("a response"), false)?;
    let mut changes = handle.0.changes.subscribe();
    let ended = handle.ended().0;
    let mut input = Vec::new();
    let mut watcher: Option<Watcher> = None;
    loop {
        tokio::select! {
            chunk = body.data() => {
                let Some(chunk) = chunk else { return Ok(()) };
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                input.extend_from_slice(&chunk);
                while let Some(request) = next_request(&mut input) {
                    demand(request, &mut watcher, &mut stream, handle)?;
                }
            }
            changed = changes.changed() => {
                if changed.is_err() { return Ok(()) }
            }
        }
        let (times, reason) = handle.ended();
        if times > ended && watcher.take().is_some() {
            let response = WatchResponse {
                canceled: true,
                cancel_reason: reason,
                ..plain(handle)
            };
            send(&mut stream, &response)?;
        }
        if let Some(watcher) = &mut watcher {
            flush(watcher, &mut stream, handle)?;
        }
    }
}

fn next_request(input: &mut Vec<u8>) -> Option<WatchRequest> {
    let length = u32::from_be_bytes(input.get(1..5)?.try_into().expect("four bytes"));
    let end = 5 + usize::try_from(length).expect("a small message");
    let request = WatchRequest::decode(input.get(5..end)?).expect("a request");
    input.drain(..end);
    Some(request)
}

fn demand(
    request: WatchRequest,
    watcher: &mut Option<Watcher>,
    stream: &mut SendStream<Bytes>,
    handle: &Handle,
) -> Result<(), h2::Error> {
    match request.request_union {
        Some(WatchUnion::Create(create)) => {
            assert!(watcher.is_none(), "one watch on a stream");
            send(
                stream,
                &WatchResponse {
                    created: true,
                    ..plain(handle)
                },
            )?;
            let next = create.start_revision;
            *watcher = Some(Watcher { create, next });
            Ok(())
        }
        Some(WatchUnion::Progress(_)) => {
            if let Some(watcher) = watcher {
                flush(watcher, stream, handle)?;
            }
            send(
                stream,
                &WatchResponse {
                    watch_id: -1,
                    ..plain(handle)
                },
            )
        }
        Some(WatchUnion::Cancel(_)) | None => Ok(()),
    }
}

fn flush(watcher: &mut Watcher, stream: &mut SendStream<Bytes>, handle: &Handle) -> Result<(), h2::Error> {
    let (events, compacted, header) = {
        let store = handle.store();
        let create = &watcher.create;
        let events = store.events(&create.key, &create.range_end, watcher.next);
        (events, store.compacted(), header(&store))
    };
    if watcher.next < compacted {
        watcher.next = i64::MAX;
        let response = WatchResponse {
            header,
            canceled: true,
            compact_revision: compacted,
            ..WatchResponse::default()
        };
        return send(stream, &response);
    }
    let Some((_, (newest, _))) = events.last() else {
        return Ok(());
    };
    watcher.next = newest + 1;
    let events = events.into_iter().map(|(key, (revision, value))| Event {
        kind: i32::from(value.is_none()),
        kv: Some(pair(key, revision, value.unwrap_or_default())),
    });
    let response = WatchResponse {
        header,
        events: events.collect(),
        ..WatchResponse::default()
    };
    send(stream, &response)
}

fn plain(handle: &Handle) -> WatchResponse {
    WatchResponse {
        header: header(&handle.store()),
        ..WatchResponse::default()
    }
}

fn send(stream: &mut SendStream<Bytes>, response: &WatchResponse) -> Result<(), h2::Error> {
    stream.send_data(frame(&response.encode_to_vec()), false)
}

impl Handle {
    fn ask_hook(&self, method: &str) -> Reply {
        let number = self.answers(method).len();
        let call = Call {
            method: method.to_owned(),
            number,
        };
        let mut hook = self.0.hook.lock().expect("no thread panics with it");
        let reply = match hook.as_mut() {
            Some(hook) => hook(&call, &mut self.store()),
            None => Reply::Answer,
        };
        drop(hook);
        self.changed();
        if !matches!(reply, Reply::Answer | Reply::Late(_)) || method == "Watch/Watch" {
            self.log(method, 0);
        }
        reply
    }

    fn log(&self, method: &str, bytes: usize) {
        let mut calls = self.0.calls.lock().expect("no thread panics with it");
        calls.push((method.to_owned(), bytes));
    }

    fn ended(&self) -> (u64, String) {
        self.0.ended.lock().expect("no thread panics with it").clone()
    }
}
