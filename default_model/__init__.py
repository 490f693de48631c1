"""The factory of the embedded model: trains, measures and ships it."""
