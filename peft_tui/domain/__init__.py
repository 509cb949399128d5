"""Values and rules: no I/O, no clock of its own, and it imports nothing else of the package."""
