"""A billion pairs, many users and many machines, simulated from measured rates."""
