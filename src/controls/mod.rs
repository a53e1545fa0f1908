//! The catalogue of controls: typed rows, one table file per subject.
