"""Tests of what the cloud decides: no I/O, no clock, no threads."""
