//! What a daemon in this process tells the system log.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast::events::{self, Event};
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// An event as the journal gets it.
#[derive(Debug, Clone)]
pub struct Told {
    pub level: Level,
    fields: BTreeMap<String, String>,
}

impl Told {
    fn event(&self) -> Option<&'static Event> {
        let id = self.fields.get("MESSAGE_ID")?;
        events::ALL.iter().find(|event| event.id == id)
    }

    fn is(&self, event: &Event) -> bool {
        self.event().is_some_and(|told| told.id == event.id)
    }

    /// What a field holds; nothing where it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub fn message(&self) -> &str {
        self.field("message")
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

/// All that is told, of every thread.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<Told>>>);

impl Journal {
    /// That of this process, from now on.
    pub fn begin() -> Self {
        let journal = Self::default();
        tracing_subscriber::registry().with(journal.clone()).init();
        journal
    }

    pub fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn of(&self, event: &Event) -> Vec<Told> {
        let mut told = self.told();
        told.retain(|one| one.is(event));
        told
    }

    /// Each event is one of the list, with its priority, and fields that it may have.
    pub fn is_of_the_manual(&self) {
        for one in self.told() {
            let event = one.event();
            assert!(event.is_some(), "no event of the manual: {one:?}");
            let Some(event) = event else { continue };
            assert_eq!(one.level, event.level(), "{one:?}");
            let fields = one
                .fields
                .keys()
                .filter_map(|name| name.strip_prefix("holdfast."));
            for field in fields {
                let name = format!("HOLDFAST_{}", field.to_uppercase());
                assert!(
                    event.fields.iter().any(|field| field.name() == name),
                    "{name} is none of {}: {one:?}",
                    event.name
                );
            }
        }
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        // What the libraries tell, and our own `trace!`, is not in the journal.
        let metadata = event.metadata();
        if !metadata.target().starts_with("holdfast") || *metadata.level() > Level::DEBUG {
            return;
        }
        let mut told = Told {
            level: *metadata.level(),
            fields: BTreeMap::new(),
        };
        event.record(&mut told);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }
}
