//! Performs the changes of a plan: intent first, verify after, undo on failure.
