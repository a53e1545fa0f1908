use std::collections::BTreeSet;

use super::*;

#[test]
fn each_event_has_an_id_and_a_name_of_its_own() {
    let ids: BTreeSet<&str> = ALL.iter().map(|event| event.id).collect();
    let names: BTreeSet<&str> = ALL.iter().map(|event| event.name).collect();
    assert_eq!((ids.len(), names.len()), (ALL.len(), ALL.len()));
    for event in ALL {
        let is_id = event.id.len() == 32 && event.id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(is_id, "{}", event.id);
        assert!(
            !event.subject.ends_with('.'),
            "{}: a subject is a title",
            event.name
        );
        assert!(event.meaning.ends_with('.'), "{}: sentences", event.name);
        assert!(event.remedy.ends_with('.'), "{}: sentences", event.name);
    }
}

#[test]
fn what_an_explanation_quotes_is_a_field_of_the_event() {
    for event in ALL {
        let text = format!("{} {} {}", event.subject, event.meaning, event.remedy);
        for quoted in text.split('@').skip(1).step_by(2) {
            assert!(
                event.fields.iter().any(|field| field.name() == quoted),
                "{}: {quoted}",
                event.name
            );
        }
    }
}

#[test]
fn the_catalog_has_an_entry_for_each_event_in_systemds_format() {
    let catalog = catalog();
    for event in ALL {
        let head = format!(
            "\n-- {}\nSubject: {}\nDefined-By: Holdfast\n",
            event.id, event.subject
        );
        assert_eq!(catalog.matches(&head).count(), 1, "{}", event.name);
    }
    assert!(
        catalog.lines().all(|line| line.len() <= 100),
        "lines of a terminal"
    );
}

#[test]
fn the_table_of_the_manual_has_a_row_for_each_event() {
    let table = table();
    let columns = table.lines().find(|line| line.starts_with("| event")).unwrap();
    for event in ALL {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", event.name)))
            .unwrap();
        assert!(
            row.contains(event.id) && row.contains(event.priority.name()),
            "{row}"
        );
        assert_eq!(row.matches('|').count(), columns.matches('|').count(), "{row}");
    }
}

/// What an event's own macro sends is what the journal gets: one priority, one id, and fields with our prefix alone.
#[test]
fn an_event_is_told_with_its_id_its_priority_and_its_fields() {
    #[derive(Default)]
    struct Seen(std::sync::Mutex<Vec<(tracing::Level, Vec<String>)>>);

    impl tracing::Subscriber for Seen {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            struct Names(Vec<String>);
            impl tracing::field::Visit for Names {
                fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                    self.0.push(format!("{}={value:?}", field.name()));
                }
            }
            let mut names = Names(Vec::new());
            event.record(&mut names);
            self.0.lock().unwrap().push((*event.metadata().level(), names.0));
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    let seen = std::sync::Arc::new(Seen::default());
    let none: Option<&str> = None;
    tracing::subscriber::with_default(seen.clone(), || {
        tell!(DRIFT, [control = "CIS-1.2.1", path = none], "told of {}", "it");
    });
    let told = seen.0.lock().unwrap().clone();
    let fields = [
        format!("MESSAGE_ID=\"{}\"", DRIFT.id),
        "holdfast.control=\"CIS-1.2.1\"".to_owned(),
        "message=told of it".to_owned(),
    ];
    assert_eq!(told.len(), 1);
    let (level, mut names) = told.into_iter().next().unwrap();
    names.sort();
    let mut fields = Vec::from(fields);
    fields.sort();
    assert_eq!((level, names), (tracing::Level::WARN, fields));
}
