//! The journal: the durable record of intents and outcomes, and what it says when it is read again.
