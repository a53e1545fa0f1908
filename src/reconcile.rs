//! The path itself: observe, judge, plan, apply, report.
