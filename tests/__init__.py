"""Tests: unit (pure), contract (one body over every implementation of a port), scenarios (whole stories)."""
