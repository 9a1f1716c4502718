"""From one thing to a sequence: a network that begins from a class or a vector."""
