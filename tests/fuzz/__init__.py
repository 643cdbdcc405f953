"""Fuzzers: bytes from outside are read or refused, and nothing else ever happens. `./run fuzz NAME --seconds 60`."""
