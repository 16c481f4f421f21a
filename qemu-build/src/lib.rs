//! Placeholder of the room; its owner writes it.
