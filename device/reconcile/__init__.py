"""Observe, plan, execute, judge: how a device gets from what runs to what should run."""
