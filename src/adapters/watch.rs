//! Hints that a watched folder changed (inotify, by notify). Folders are watched, never files; an event is a hint only.
