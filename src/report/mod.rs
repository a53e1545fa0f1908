//! Renders findings, plans and outcomes for a terminal and as JSON.
