//! Stale objects by chunks, so that a re-encryption of any size keeps few of them.

use super::path::{ObjectRef, Paths, Place};

/// An object whose value is not under the write key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// The object.
    pub object: ObjectRef,
    /// The revision that wrote the value.
    pub mod_revision: i64,
    /// The value's size as stored, in bytes.
    pub bytes: u64,
}

/// The next stale objects behind a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// At most so many as were asked for.
    pub objects: Vec<Stale>,
    /// The revision that they were read at.
    pub revision: i64,
    /// Values that were looked at, stale or not.
    pub seen: u64,
    /// Stale values that no request rewrites: without an endpoint or of an unknown path. The census names them.
    pub unreachable: u64,
    /// The last etcd key that was looked at: where the next chunk goes on. `None` when everything was.
    pub cursor: Option<Vec<u8>>,
    room: usize,
}

impl Chunk {
    /// Nothing in it yet, and room for `room` objects (at least one).
    #[must_use]
    pub fn at(revision: i64, room: usize) -> Self {
        Self {
            objects: Vec::new(),
            revision,
            seen: 0,
            unreachable: 0,
            cursor: None,
            room: room.max(1),
        }
    }

    /// Takes the next value in the order of etcd keys.
    pub fn add(&mut self, paths: &Paths, key: &[u8], bytes: u64, mod_revision: i64, stale: bool) {
        self.seen += 1;
        self.cursor = Some(key.to_vec());
        if !stale {
            return;
        }
        match paths.place(key) {
            Place::Object(object) => self.objects.push(Stale {
                object,
                mod_revision,
                bytes,
            }),
            Place::NoEndpoint(_) | Place::Unmapped(_) => self.unreachable += 1,
        }
    }

    /// Whether it holds as many objects as were asked for.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.objects.len() >= self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_full_with_so_many_objects_and_goes_on_behind_the_last_key() {
        let paths = Paths::new("/registry").unwrap();
        let mut chunk = Chunk::at(7, 2);
        let mut add = |path: &str, stale| {
            chunk.add(&paths, format!("/registry/{path}").as_bytes(), 10, 3, stale);
            chunk.is_full()
        };
        let full = [
            add("masterleases/192.0.2.1", true),
            add("secrets/a/1", true),
            add("secrets/a/2", false),
            add("secrets/a/3", true),
        ];
        assert_eq!(full, [false, false, false, true]);
        let stale = |name: &str| Stale {
            object: ObjectRef {
                resource: crate::domain::GroupResource {
                    resource: "secrets".to_owned(),
                    group: String::new(),
                },
                namespace: Some("a".to_owned()),
                name: name.to_owned(),
            },
            mod_revision: 3,
            bytes: 10,
        };
        assert_eq!(
            chunk,
            Chunk {
                objects: vec![stale("1"), stale("3")],
                revision: 7,
                seen: 4,
                unreachable: 1,
                cursor: Some(b"/registry/secrets/a/3".to_vec()),
                room: 2,
            }
        );
    }
}
