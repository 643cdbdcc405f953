"""Break the code on purpose, once for each promise, and expect that a test notices.

`./run chaos promises [--only WORDS] [--json]`. Each breakage is one replaced text in a copy of the project; the named
test must pass without it and fail with it. The list is the table of promises in docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.harness.servers import ROOT, use_unpacked_servers

PAGE = ROOT / "docs" / "reliability.md"
TOLD = ("<!-- promises -->\n", "<!-- end of promises -->\n")
UNIT, CONTRACT = "tests/unit", "tests/contract"


@dataclass(frozen=True)
class Promise:
    """A promise, the text of the code that keeps it, what breaks it, and the test that then has to fail."""

    promise: str
    file: str
    kept: str
    broken: str
    test: str


PROMISES = (
    Promise(
        "an older desired state never takes effect",
        "device/ledger.py",
        "if offered.generation.order < floor.order:",
        "if False:",
        f"{UNIT}/device/test_ledger.py::test_an_older_generation_is_refused_as_stale",
    ),
    Promise(
        "an altered desired state never takes effect",
        "device/ledger.py",
        "and offered.generation.digest != floor.digest:",
        "and False:",
        f"{UNIT}/device/test_ledger.py::test_the_same_generation_with_another_content_is_refused_louder",
    ),
    Promise(
        "a foreign desired state never takes effect",
        "device/ledger.py",
        "if (desired.org, desired.device) != (self._device.org, self._device.device):",
        "if False:",
        f"{UNIT}/device/test_ledger.py::test_a_state_for_another_device_is_refused_even_in_an_envelope_for_this_one",
    ),
    Promise(
        "an unsigned desired state never takes effect",
        "broker/signing.py",
        "            verify_key.verify(data, proof)\n",
        "            pass\n",
        f"{UNIT}/device/test_inbox.py::test_a_state_whose_signature_is_wrong_is_not_kept_for_later",
    ),
    Promise(
        "containers of one app are not left in two releases once converged",
        "device/reconcile/moves.py",
        "fitting = [c for c in here if c.hash == want.hash and",
        "fitting = [c for c in here if",
        f"{UNIT}/device/test_plan.py::test_the_new_container_is_made_beside_the_old_one_which_then_makes_room",
    ),
    Promise(
        "a running release is not touched before its successor is fetched",
        "device/reconcile/choose.py",
        "    if not is_here(target):\n        return Choice(current",
        "    if False:\n        return Choice(current",
        f"{UNIT}/device/test_choose.py::test_a_newer_release_waits_for_its_images_while_the_present_one_is_held",
    ),
    Promise(
        "a volume is not deleted unless asked for",
        "device/reconcile/loop.py",
        'if desired.retire.wipe == "all":',
        "if desired.retire.wipe:",
        f"{UNIT}/device/test_loop.py",
    ),
    Promise(
        "nothing outside of our labels is seen or touched",
        "device/engine/docker.py",
        'self._mine = {"label": f"{labels.DEVICE}={device}"}',
        "self._mine: dict[str, str] = {}",
        f"{CONTRACT}/test_engine.py::test_an_engine_sees_only_what_is_its_own_devices",
    ),
    Promise(
        "the owner's policy is not exceeded",
        "broker/policy.py",
        "return [str(denied) for denied in self.denied(spec, grants, registry=registry)]",
        "return []",
        f"{UNIT}/broker/test_policy.py",
    ),
    Promise(
        "no sample is acknowledged that is not stored",
        "cloud/ingest/batch.py",
        "            turn.intake.add(device.device, batch)\n",
        "            pass\n",
        f"{CONTRACT}/test_cloud_store.py::test_a_batch_that_comes_twice_is_stored_once_and_acknowledged_twice",
    ),
    Promise(
        "a sample is stored once",
        "device/telemetry/buffer.py",
        "            if cursor is not None:\n",
        "            if False:\n",
        f"{CONTRACT}/test_buffer.py::test_a_crash_between_commit_and_trim_repeats_nothing",
    ),
    Promise(
        "a sample that is given up is named in a gap",
        "device/telemetry/room.py",
        "*ids), *drops])",
        "*ids)])",
        f"{CONTRACT}/test_buffer_caps.py::test_the_oldest_go_and_are_one_gap",
    ),
    Promise(
        "nothing is trimmed that was not both sent and acknowledged",
        "device/telemetry/buffer.py",
        "limit = min(held.contiguous, sent)",
        "limit = held.contiguous",
        f"{CONTRACT}/test_buffer.py::test_nothing_is_trimmed_that_was_not_sent",
    ),
    Promise(
        "one organisation does not see another's",
        "cloud/store/devices.py",
        "found = _living(org).where(or_(",
        "found = select(*_COLUMNS).where(or_(",
        f"{CONTRACT}/test_cloud_api.py::test_another_organisation_sees_nothing_and_can_name_nothing",
    ),
    Promise(
        "what one device sends does not delay another's acknowledgement",
        "cloud/ingest/inbox.py",
        "or (own is not None and len(own) >= DEVICE_DEPTH)",
        "",
        f"{UNIT}/cloud/test_inbox.py::test_a_flood_fills_only_the_share_of_its_device",
    ),
    Promise(
        "a new generation gets through into a running download",
        "device/reconcile/fetch.py",
        "if instance is None or stopping.is_set():",
        "if stopping.is_set():",
        f"{UNIT}/device/test_fetch.py::test_a_transfer_is_left_when_nobody_wants_it_any_more",
    ),
    Promise(
        "a lock does not outlast its duration",
        "device/platform/lock_holds.py",
        "min(hold.since + wish.seconds, hold.began + max_s)",
        "hold.since + wish.seconds",
        f"{UNIT}/device/test_lock_holds.py::test_no_row_of_values_outlasts_the_maximum",
    ),
    Promise(
        "time-outs are by progress, not by the clock",
        "device/engine/pulling.py",
        "        self._moved_at = now\n        if not layer:",
        "        if not layer:",
        f"{UNIT}/device/test_pulling.py::test_however_long_it_takes_it_goes_on_while_bytes_come",
    ),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only promises with these words in them")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    use_unpacked_servers()
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        copy = Path(name) / "skerry"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", ".skerry", "__pycache__"))
        (copy / ".skerry").symlink_to(ROOT / ".skerry")  # the servers that tests start
        for promise in PROMISES:
            if asked.only in promise.promise:
                found[promise.promise] = verdict(copy, promise)
                print(f"{found[promise.promise]:10} {promise.promise}", file=sys.stderr, flush=True)
    if asked.json:
        print(json.dumps(found))
    return 0 if set(found.values()) <= {"noticed"} else 1


def verdict(copy: Path, promise: Promise) -> str:
    """Return whether the test notices: `noticed`, `unnoticed`, or `red before` it was broken."""
    file = copy / promise.file
    whole = file.read_text()
    if whole.count(promise.kept) != 1:
        raise SystemExit(f"{promise.file} has {promise.kept!r} {whole.count(promise.kept)} times, not once")
    if not passes(copy, promise.test):
        return "red before"
    file.write_text(whole.replace(promise.kept, promise.broken))
    try:
        return "unnoticed" if passes(copy, promise.test) else "noticed"
    finally:
        file.write_text(whole)


def passes(copy: Path, test: str) -> bool:
    """Run a test in the copy; a test that cannot be found or started is an error, not a failure."""
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", test]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return done.returncode == 0


def table() -> str:
    """Return the promises as rows of the page."""
    rows = [f"| {each.promise} | `{each.file}` | `{each.test.rpartition('/')[2]}` |\n" for each in PROMISES]
    return "| promise | broken in | noticed by |\n|---|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    sys.exit(main())
