"""Fixtures for all tests."""

from __future__ import annotations

from tests.harness.servers import use_unpacked_servers

use_unpacked_servers()
