//! Servers and surroundings that lie, dawdle and break.
