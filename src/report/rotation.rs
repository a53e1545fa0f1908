//! A rotation under way, told.

use serde_json::{Value, json};

use super::paint::{self, Colour, printable};
use crate::rotate::status::{State, Status};
use crate::rotation::{Direction, Rotation};

/// For people: where it stands by the journal, and what whoever walks it said last.
#[must_use]
pub fn rotation_text(rotation: &Rotation, status: Option<&Status>, colour: Colour) -> String {
    let way = match rotation.direction {
        Direction::Forward => format!("from {} to {}", rotation.old, rotation.new),
        Direction::Back => format!("turned back, from {} to {}", rotation.new, rotation.old),
    };
    let title = format!("Rotation {} is under way, {way}", rotation.id);
    let mut text = format!("\n{}\n", colour.paint(paint::STRONG, &printable(&title)));
    text += &format!("  set out for {}\n", rotation.goal);
    if let Some(status) = status {
        let word = match status.state {
            State::Working | State::Ended => "last",
            State::Waiting => "waits for",
            State::Parked => "stands still",
        };
        text += &format!("  {word}: {}\n", printable(&status.what));
        if let (Some(done), Some(rate)) = (status.done, status.rate) {
            let total = status
                .total
                .map_or_else(|| "?".to_owned(), |total| total.to_string());
            let left = status
                .seconds_left
                .map_or_else(String::new, |left| format!(", {left} s left"));
            text += &format!("  {done} of {total}, {rate:.0}/s{left}\n");
        }
        if let Some(remedy) = &status.remedy {
            text += &format!("  to do: {}\n", printable(remedy));
        }
    } else if let Some(why) = &rotation.parked {
        text += &format!("  stood still: {}\n", printable(why));
    }
    text
}

/// The same as a JSON value.
#[must_use]
pub fn rotation_json(rotation: &Rotation, status: Option<&Status>) -> Value {
    let direction = match rotation.direction {
        Direction::Forward => "forward",
        Direction::Back => "back",
    };
    json!({
        "id": rotation.id, "from": rotation.old.to_string(), "to": rotation.new.to_string(), "direction": direction,
        "stage": rotation.goal.to_string(), "parked": rotation.parked, "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::Stage;
    use crate::rotation::fixtures::rotation_at;

    fn status(state: State) -> Status {
        Status {
            schema_version: 1,
            rotation: "r1".to_owned(),
            to: "aescbc:new".to_owned(),
            state,
            what: "etcd\u{1b}[31m".to_owned(),
            remedy: Some("wait".to_owned()),
            done: Some(10),
            total: Some(20),
            rate: Some(4.6),
            seconds_left: Some(2),
            process: 1,
            since_boot_ms: 1,
        }
    }

    #[test]
    fn where_it_stands_is_told_and_a_status_cannot_paint_the_terminal() {
        let rotation = rotation_at(Stage::WriteNew);
        let text = rotation_text(&rotation, Some(&status(State::Waiting)), Colour::Never);
        for part in [
            "to aescbc:new",
            "set out for C2",
            "waits for: etcd",
            "10 of 20, 5/s, 2 s left",
            "to do: wait",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'));
        let json = rotation_json(&rotation, Some(&status(State::Parked)));
        assert_eq!(json["status"]["state"], "parked");
        assert_eq!(json["direction"], "forward");
    }
}
