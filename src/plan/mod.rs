//! Controls, observation, journal and time in; an ordered list of changes with their reasons out.
