//! The no-op write: a merge patch that changes nothing. The server reads the object, sees whether its stored value is under the write
//! key, and writes it again if not. It asks for metadata only, so that no data of a Secret goes either way (a kubectl annotation may
//! hold some, so the answer is wiped).

use http::Method;

use super::client::{Answer, Call};
use super::{Api, CallError, Connection, Served};
use crate::adapters::failpoint::{Act, Kind, Side};
use crate::rewrite::{Cause, Outcome, Target, read_answer};

pub(super) const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// Metadata with all its annotations and managers; the object behind it may not be larger than 3 MiB itself.
pub(super) const MAX_ANSWER: usize = 4 << 20;

/// Sends the no-op write for one object; `connection` is made anew when it is not there, and gone after an error. `seen_at`: etcd's
/// revision at which the object was seen to be stale.
///
/// # Errors
/// When no whole answer came: whether it was written is then not known.
pub async fn patch(
    api: &Api,
    connection: &mut Option<Connection>,
    served: &Served,
    target: &Target,
    seen_at: u64,
) -> Result<Outcome, CallError> {
    let Some(path) = path(served, target).filter(|_| served.patchable) else {
        let cause = Cause::NotServed;
        return Ok(Outcome::Refused { cause });
    };
    let mut open = match connection.take().filter(Connection::is_open) {
        Some(open) => open,
        None => api.connect().await?,
    };
    let body = body(target);
    let call = Call {
        method: Method::PATCH,
        path: &path,
        accept: METADATA_ONLY,
        body: Some(("application/merge-patch+json", body)),
    };
    Act::new(Kind::Patch).pass(Side::Before);
    let Answer {
        code,
        retry_after,
        body,
        warnings: _,
    } = api.call(&mut open, call, MAX_ANSWER).await?;
    Act::new(Kind::Patch).pass(Side::After);
    *connection = Some(open);
    let outcome = read_answer(code, retry_after, &body, seen_at);
    let cause = Cause::NamespaceGone;
    if is_a_namespace(target) && outcome == (Outcome::Refused { cause }) {
        return Ok(Outcome::Gone);
    }
    Ok(outcome)
}

fn is_a_namespace(target: &Target) -> bool {
    target.resource.group.is_empty() && target.resource.resource == "namespaces"
}

/// Nothing, or what must be as it was seen: the server answers 409 where it is not.
fn body(target: &Target) -> Vec<u8> {
    let mut metadata = serde_json::Map::new();
    if let Some(uid) = &target.uid {
        metadata.insert("uid".to_owned(), uid.as_str().into());
    }
    if let Some(seen) = target.seen {
        metadata.insert("resourceVersion".to_owned(), seen.to_string().into());
    }
    if metadata.is_empty() {
        return b"{}".to_vec();
    }
    serde_json::json!({ "metadata": metadata })
        .to_string()
        .into_bytes()
}

/// The path of an object. None when the API has no such path: a namespace where none may be, or a name that is no path segment.
pub(super) fn path(served: &Served, target: &Target) -> Option<String> {
    let group = &target.resource.group;
    let mut path = if group.is_empty() {
        format!("/api/{}", served.version)
    } else {
        format!("/apis/{group}/{}", served.version)
    };
    match (&target.namespace, served.namespaced) {
        (Some(namespace), true) => {
            path.push_str("/namespaces/");
            push_segment(&mut path, namespace)?;
        }
        (None, false) => {}
        (Some(_), false) | (None, true) => return None,
    }
    path.push('/');
    push_segment(&mut path, &target.resource.resource)?;
    path.push('/');
    push_segment(&mut path, &target.name)?;
    Some(path)
}

/// Adds one segment, percent-encoded but for the letters that need not be.
fn push_segment(path: &mut String, text: &str) -> Option<()> {
    if text.is_empty() || text == "." || text == ".." {
        return None;
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::GroupResource;

    fn asked(
        resource: &str,
        group: &str,
        namespace: Option<&str>,
        name: &str,
        namespaced: bool,
    ) -> Option<String> {
        let served = Served {
            version: "v1".to_owned(),
            namespaced,
            patchable: true,
        };
        let target = Target {
            resource: GroupResource {
                resource: resource.to_owned(),
                group: group.to_owned(),
            },
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            uid: None,
            seen: None,
            bytes: 0,
        };
        path(&served, &target)
    }

    #[test]
    fn paths_are_those_of_the_api_and_names_are_encoded() {
        let path = |text: &str| Some(text.to_owned());
        assert_eq!(
            asked("secrets", "", Some("default"), "a.b-c", true),
            path("/api/v1/namespaces/default/secrets/a.b-c")
        );
        assert_eq!(
            asked("things", "example.org", None, "x", false),
            path("/apis/example.org/v1/things/x")
        );
        assert_eq!(
            asked(
                "clusterroles",
                "rbac.authorization.k8s.io",
                None,
                "system:a b?#ü",
                false
            ),
            path("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa%20b%3F%23%C3%BC")
        );
    }

    #[test]
    fn what_has_no_path_is_not_asked_for() {
        assert_eq!(asked("secrets", "", None, "a", true), None);
        assert_eq!(asked("nodes", "", Some("default"), "a", false), None);
        assert_eq!(asked("secrets", "", Some("default"), "..", true), None);
        assert_eq!(asked("secrets", "", Some(""), "a", true), None);
    }
}
