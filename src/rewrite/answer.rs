//! What the API server's answer to a no-op write means for the object, and who refused it.
//!
//! An answer's text may quote fields of the object, so nothing of it is kept but names of a known form: of a webhook, a policy, a
//! quota, a field.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// No name in Kubernetes is longer, and no field's path needs to be told further.
const MAX_NAME: usize = 253;

/// What became of one object.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was written: its resource version is newer than what was known.
    Rewritten {
        /// Its resource version: etcd's revision of the write.
        resource_version: u64,
    },
    /// It was already stored as the server would store it now, and was not written.
    Fresh,
    /// It is not there any more.
    Gone,
    /// Somebody else wrote it, or made another of the same name: look again.
    Conflict,
    /// The server has too much to do.
    Throttled {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server would not write it, and will not the next time.
    Refused {
        /// Who or what refused.
        cause: Cause,
    },
    /// It may have been written or not: look again.
    Unknown {
        /// What happened.
        what: String,
    },
}

/// Who or what refused a write.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// An admission webhook said no.
    Webhook(String),
    /// An admission webhook could not be called, and its failure policy is `Fail`.
    WebhookUnreachable(String),
    /// A `ValidatingAdmissionPolicy` said no.
    AdmissionPolicy(String),
    /// A `ResourceQuota` is exceeded.
    Quota(String),
    /// The object as it is stored does not pass validation; the fields at fault.
    Invalid(Vec<String>),
    /// The webhook that converts the custom resource does not work.
    ConversionWebhook,
    /// The aggregated API server of this group does not answer.
    ApiUnavailable,
    /// These credentials may not patch it.
    Forbidden,
    /// These credentials are not accepted at all.
    Unauthorized,
    /// An admission plug-in of the server said no.
    Admission,
    /// Its value is too large for etcd.
    TooLarge,
    /// The stored value cannot be read: decrypted or decoded.
    Unreadable,
    /// Its namespace was removed from under it, and no admission passes a write of an object without one.
    NamespaceGone,
    /// No version of the group serves the resource, or none that can be patched.
    NotServed,
    /// Anything else, by status code and the reason that the server gives it.
    Other {
        /// The status code.
        code: u16,
        /// The machine-readable reason, if any.
        reason: String,
    },
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Option<Details>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    kind: String,
    causes: Option<Vec<StatusCause>>,
    retry_after_seconds: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct StatusCause {
    field: String,
}

/// What an answer means. `seen_at`: etcd's revision at which the object was seen to be stale; a resource version above it means that
/// it was written since, one at or below it that there was nothing to write. `retry_after`: the header's value in seconds.
pub fn read_answer(code: u16, retry_after: Option<u64>, body: &[u8], seen_at: u64) -> Outcome {
    if (200..300).contains(&code) {
        return written(body, seen_at);
    }
    // A proxy or the aggregator answers in plain text: then only the code speaks.
    let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status {
        message: String::from_utf8_lossy(body).into_owned(),
        ..Status::default()
    });
    let details = status.details.as_ref();
    let asked = details.map_or(0, |details| details.retry_after_seconds);
    let retry_after = retry_after
        .or_else(|| (asked > 0).then_some(asked))
        .map(Duration::from_secs);
    if let Some(cause) = named_cause(&status) {
        return Outcome::Refused { cause };
    }
    if code >= 500 && passes(&status.message) {
        return Outcome::Unknown {
            what: "etcd did not take it just then".to_owned(),
        };
    }
    match code {
        // NamespaceLifecycle looks for the namespace of what is updated (plugin/pkg/admission/namespace/lifecycle). For a namespace itself
        // the answer is the same, and means that it is gone: who asked for one knows.
        404 if details.is_some_and(|details| details.kind == "namespaces") => refused(Cause::NamespaceGone),
        // Only the absence of an object names one; that of an API does not.
        404 if details.is_some_and(|details| !details.name.is_empty()) => Outcome::Gone,
        404 => refused(Cause::NotServed),
        409 => Outcome::Conflict,
        // The only thing that our body asks for is the UID.
        422 if fields(&status).iter().any(|field| field == "metadata.uid") => Outcome::Conflict,
        422 => refused(Cause::Invalid(fields(&status))),
        429 => Outcome::Throttled { retry_after },
        503 if retry_after.is_some() => Outcome::Throttled { retry_after },
        503 => refused(Cause::ApiUnavailable),
        413 => refused(Cause::TooLarge),
        401 => refused(Cause::Unauthorized),
        403 if status.message.contains(" cannot patch resource ") => refused(Cause::Forbidden),
        403 => refused(Cause::Admission),
        504 | 408 => Outcome::Unknown {
            what: format!("the server gave up on it ({code})"),
        },
        _ => refused(Cause::Other {
            code,
            reason: name(&status.reason).unwrap_or_default(),
        }),
    }
}

/// Errors of etcd that pass by themselves (api/v3rpc/rpctypes): the write may have been made or not.
fn passes(message: &str) -> bool {
    const PASSING: [&str; 7] = [
        "etcdserver: leader changed",
        "etcdserver: no leader",
        "etcdserver: request timed out",
        "etcdserver: too many requests",
        "etcdserver: server stopped",
        "etcdserver: not leader",
        "code = Unavailable",
    ];
    PASSING.iter().any(|text| message.contains(text))
}

const fn refused(cause: Cause) -> Outcome {
    Outcome::Refused { cause }
}

fn written(body: &[u8], seen_at: u64) -> Outcome {
    let object: Object = serde_json::from_slice(body).unwrap_or_default();
    match object.metadata.resource_version.parse::<u64>() {
        Ok(resource_version) if resource_version > seen_at => Outcome::Rewritten { resource_version },
        Ok(_) => Outcome::Fresh,
        Err(_) => Outcome::Unknown {
            what: "the server's answer holds no resource version".to_owned(),
        },
    }
}

/// The texts are those of kubernetes 1.24 to 1.35: apiserver pkg/admission/plugin/webhook/errors, .../policy/validating,
/// plugin/resourcequota, apiextensions-apiserver pkg/apiserver/conversion, and etcd's own.
fn named_cause(status: &Status) -> Option<Cause> {
    let text = status.message.as_str();
    let after = |marker: &str, end: char| {
        let (_, rest) = text.split_once(marker)?;
        rest.split_once(end).and_then(|(found, _)| name(found))
    };
    if text.contains("conversion webhook for ") {
        return Some(Cause::ConversionWebhook);
    }
    if text.contains("etcdserver: request is too large")
        || text.contains("trying to send message larger than max")
    {
        return Some(Cause::TooLarge);
    }
    if text.contains("failed calling webhook ") {
        let webhook = after("failed calling webhook \"", '"').unwrap_or_default();
        return Some(Cause::WebhookUnreachable(webhook));
    }
    if text.contains("admission webhook ") && text.contains(" denied the request") {
        return Some(Cause::Webhook(
            after("admission webhook \"", '"').unwrap_or_default(),
        ));
    }
    if text.contains("ValidatingAdmissionPolicy '") {
        return after("ValidatingAdmissionPolicy '", '\'').map(Cause::AdmissionPolicy);
    }
    if text.contains("exceeded quota: ") {
        return Some(Cause::Quota(after("exceeded quota: ", ',').unwrap_or_default()));
    }
    if text.contains("unable to transform key") || text.contains("no matching prefix found") {
        return Some(Cause::Unreadable);
    }
    None
}

fn fields(status: &Status) -> Vec<String> {
    let causes = status
        .details
        .as_ref()
        .and_then(|details| details.causes.as_ref());
    let mut fields: Vec<String> = causes
        .into_iter()
        .flatten()
        .filter_map(|cause| name(&cause.field))
        .collect();
    fields.truncate(8);
    fields
}

/// The text, if it has the form of a name or a field's path and so cannot be a quoted value of any length.
fn name(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/[]:".contains(c);
    (!text.is_empty() && text.len() <= MAX_NAME && text.chars().all(plain)).then(|| text.to_owned())
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, what: &str, name: &str, does: &str| {
            if name.is_empty() {
                write!(f, "{what} {does}")
            } else {
                write!(f, "{what} {name} {does}")
            }
        };
        match self {
            Self::Webhook(name) => named(f, "the admission webhook", name, "denies it"),
            Self::WebhookUnreachable(name) => named(f, "the admission webhook", name, "cannot be called"),
            Self::AdmissionPolicy(name) => named(f, "the ValidatingAdmissionPolicy", name, "denies it"),
            Self::Quota(name) => named(f, "the ResourceQuota", name, "is exceeded"),
            Self::Invalid(fields) if fields.is_empty() => f.write_str("it does not pass validation"),
            Self::Invalid(fields) => write!(f, "it does not pass validation: {}", fields.join(", ")),
            Self::ConversionWebhook => {
                f.write_str("the conversion webhook of its custom resource does not work")
            }
            Self::ApiUnavailable => f.write_str("the API server of its group does not answer"),
            Self::Forbidden => f.write_str("these credentials may not patch it (RBAC)"),
            Self::Unauthorized => f.write_str("these credentials are not accepted"),
            Self::Admission => f.write_str("an admission plug-in of the API server denies it"),
            Self::TooLarge => f.write_str("its value is too large for etcd"),
            Self::Unreadable => f.write_str("the API server cannot read its stored value"),
            Self::NamespaceGone => f.write_str(
                "its namespace is not there, without which nothing of it can be written: make the namespace again, or delete the object",
            ),
            Self::NotServed => f.write_str("no API serves it, or none that it can be patched by"),
            Self::Other { code, reason } if reason.is_empty() => write!(f, "the API server answers {code}"),
            Self::Other { code, reason } => write!(f, "the API server answers {code} ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str, message: &str, details: &str) -> Outcome {
        let message = serde_json::to_string(message).unwrap();
        let body = format!(
            r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":{message},"reason":"{reason}","details":{details},"code":{code}}}"#
        );
        read_answer(code, None, body.as_bytes(), 10)
    }

    fn cause(outcome: Outcome) -> Cause {
        let Outcome::Refused { cause } = outcome else {
            panic!("{outcome:?}")
        };
        cause
    }

    #[test]
    fn a_newer_resource_version_is_a_write_and_an_old_one_is_none() {
        let body = |version: &str| {
            format!(
                r#"{{"kind":"PartialObjectMetadata","metadata":{{"name":"a","resourceVersion":"{version}"}}}}"#
            )
        };
        let read = |version: &str| read_answer(200, None, body(version).as_bytes(), 10);
        assert_eq!(read("11"), Outcome::Rewritten { resource_version: 11 });
        assert_eq!((read("10"), read("9")), (Outcome::Fresh, Outcome::Fresh));
        assert!(matches!(read(""), Outcome::Unknown { .. }));
        assert!(matches!(
            read_answer(200, None, b"{\"metadata\":{\"res", 10),
            Outcome::Unknown { .. }
        ));
    }

    #[test]
    fn an_object_that_is_gone_is_told_from_an_api_that_is_not_served() {
        let gone = status(
            404,
            "NotFound",
            "secrets \"a\" not found",
            r#"{"name":"a","kind":"secrets"}"#,
        );
        assert_eq!(gone, Outcome::Gone);
        let orphan = status(
            404,
            "NotFound",
            "namespaces \"x\" not found",
            r#"{"name":"x","kind":"namespaces"}"#,
        );
        assert_eq!(cause(orphan), Cause::NamespaceGone);
        assert_eq!(
            cause(read_answer(404, None, b"404 page not found\n", 10)),
            Cause::NotServed
        );
        let unserved = status(
            404,
            "NotFound",
            "the server could not find the requested resource",
            "{}",
        );
        assert_eq!(cause(unserved), Cause::NotServed);
    }

    #[test]
    fn another_object_of_the_same_name_and_another_writer_are_conflicts() {
        let other_uid = status(
            422,
            "Invalid",
            "Secret \"a\" is invalid: metadata.uid: Invalid value: \"x\": field is immutable",
            r#"{"name":"a","kind":"Secret","causes":[{"reason":"FieldValueInvalid","message":"Invalid value","field":"metadata.uid"}]}"#,
        );
        assert_eq!(other_uid, Outcome::Conflict);
        assert_eq!(
            status(409, "Conflict", "the object has been modified", "{}"),
            Outcome::Conflict
        );
    }

    #[test]
    fn a_change_of_etcds_leader_passes_and_a_full_etcd_does_not() {
        for text in [
            "etcdserver: leader changed",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "rpc error: code = Unavailable desc = error reading from server: EOF",
        ] {
            let answer = status(500, "InternalError", text, "{}");
            assert!(matches!(answer, Outcome::Unknown { .. }), "{text}: {answer:?}");
        }
        let full = status(500, "", "etcdserver: mvcc: database space exceeded", "{}");
        assert!(matches!(full, Outcome::Refused { .. }), "{full:?}");
    }

    #[test]
    fn a_busy_server_is_told_with_the_time_that_it_asks_for() {
        let throttled = |seconds: Option<u64>| Outcome::Throttled {
            retry_after: seconds.map(Duration::from_secs),
        };
        assert_eq!(
            read_answer(429, Some(3), b"Too many requests", 10),
            throttled(Some(3))
        );
        let by_body = status(429, "TooManyRequests", "try later", r#"{"retryAfterSeconds":2}"#);
        assert_eq!(by_body, throttled(Some(2)));
        assert_eq!(read_answer(429, None, b"", 10), throttled(None));
        assert_eq!(read_answer(503, Some(1), b"", 10), throttled(Some(1)));
        assert_eq!(
            cause(read_answer(503, None, b"service unavailable\n", 10)),
            Cause::ApiUnavailable
        );
    }

    #[test]
    fn who_refused_is_named() {
        let name = str::to_owned;
        let table = [
            (
                400,
                "admission webhook \"deny.example.org\" denied the request: because \"s3cret\"",
                Cause::Webhook(name("deny.example.org")),
            ),
            (
                500,
                "Internal error occurred: failed calling webhook \"gone.example.org\": failed to call webhook: Post \"https://x/\": dial tcp",
                Cause::WebhookUnreachable(name("gone.example.org")),
            ),
            (
                422,
                "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'no-writes' with binding 'b' denied request: failed expression: x",
                Cause::AdmissionPolicy(name("no-writes")),
            ),
            (
                403,
                "secrets \"a\" is forbidden: exceeded quota: small, requested: x=1, used: x=1, limited: x=1",
                Cause::Quota(name("small")),
            ),
            (
                500,
                "conversion webhook for example.org/v1, Kind=Thing failed: Post \"https://x\": EOF",
                Cause::ConversionWebhook,
            ),
            (500, "etcdserver: request is too large", Cause::TooLarge),
            (
                403,
                "secrets \"a\" is forbidden: User \"u\" cannot patch resource \"secrets\" in API group \"\" in the namespace \"d\"",
                Cause::Forbidden,
            ),
            (
                403,
                "secrets \"a\" is forbidden: something else",
                Cause::Admission,
            ),
            (401, "Unauthorized", Cause::Unauthorized),
            (413, "Request entity too large: limit is 3145728", Cause::TooLarge),
            (
                500,
                "Internal error occurred: no matching prefix found",
                Cause::Unreadable,
            ),
            (
                418,
                "a teapot with \"s3cret\"",
                Cause::Other {
                    code: 418,
                    reason: name("R"),
                },
            ),
        ];
        for (code, message, expected) in table {
            let outcome = status(code, "R", message, "{}");
            let told = format!("{outcome:?}");
            assert_eq!(cause(outcome), expected, "{message}");
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn an_invalid_object_is_told_by_its_fields_and_never_by_their_values() {
        let outcome = status(
            422,
            "Invalid",
            "Secret \"a\" is invalid: type: Invalid value: \"s3cret\"",
            r#"{"causes":[{"message":"Invalid value: \"s3cret\"","field":"type"},{"field":"data[a b]"}]}"#,
        );
        assert_eq!(cause(outcome), Cause::Invalid(vec!["type".to_owned()]));
        assert_eq!(
            Cause::Invalid(vec!["type".to_owned()]).to_string(),
            "it does not pass validation: type"
        );
    }

    #[test]
    fn a_server_that_gave_up_leaves_it_open_whether_it_wrote() {
        assert!(matches!(
            status(504, "Timeout", "request did not complete", "{}"),
            Outcome::Unknown { .. }
        ));
    }
}
