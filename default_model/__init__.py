"""The factory of the embedded model: what makes, measures and ships it."""
