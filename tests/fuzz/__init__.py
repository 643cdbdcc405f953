"""Fuzzers: they run for as long as they are let, and say how many executions that was."""
