"""The policy cases, from their files to a real engine: each runs, or is refused by a row's name and leaves no trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from broker.appspec import AppSpec, Image
from broker.clock import SystemClock
from broker.messages import AppSection, InstanceStatus
from broker.policy import Policy
from device.checked_file import CheckedFile
from device.engine.port import Observed
from device.mailbox import Mailbox
from device.reconcile.journal import Journal
from device.reconcile.loop import Reconciler, Report
from tests.harness.apps import section, service
from tests.harness.engine_bench import REAL, SLEEP, Bench, bench_of
from tests.harness.servers import wait_until
from tests.unit.compose.test_cases import CASES
from tests.unit.compose.test_to_appspec_cases import PREFIX, REFUSED, TAKEN, project, spec_of
from tests.unit.device.fakes import desired

DENIED = {
    "network-external": "network custom_net: external network custom_net reaches outside of the app "
    "(policy.allow_external_networks)",
    "pid-container": "service service1: pid container:abc123 reaches outside of the app (policy.allow_containers)",
    "volume-external": "volume myvolume: external volume myvolume reaches outside of the app "
    "(policy.allow_external_volumes)",
}
NOT_ON_PODMAN = {"network-aux-addresses": "networks: ipam: aux_addresses"}


@pytest.fixture(params=REAL)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param, request) as made:
        yield made


def app_of(case: str, bench: Bench, tmp_path: Path) -> AppSection:
    """Return a case as the section of a desired state; its service, which would be built, sleeps."""
    spec = spec_of(project(CASES / "policy" / f"{PREFIX}{case}.yml", tmp_path))
    repository, _, digest = bench.image.partition("/")[2].partition("@")
    sleeping = {"image": Image(repository=repository, digest=digest), "command": tuple(SLEEP), "stop_grace_ms": 1000}
    services = {name: each.model_copy(update=sleeping) for name, each in spec.services.items()}
    made = AppSpec.model_validate(spec.model_copy(update={"services": services}).model_dump())
    bare = section({"web": service()}, instance=bench.instance)
    with_spec = bare.model_copy(update={"spec": made, "release": made.digest, "digest": None})
    return with_spec.model_copy(update={"digest": with_spec.computed_digest()})


@contextmanager
def device(bench: Bench, folder: Path, policy: Policy) -> Iterator[tuple[Mailbox, list[Report]]]:
    """Run the reconcile thread and its fetcher on the bench's engine."""
    mailbox, reports, stopping = Mailbox(), list[Report](), threading.Event()
    reconciler = Reconciler(
        engine=bench.engine,
        mailbox=mailbox,
        journal=Journal(CheckedFile(folder / "journal")),
        policy=policy,
        clock=SystemClock(),
        place_for=lambda sections: replace(bench.place, policy=policy),
        pull=lambda image, told: bench.engine.pull(image, token="none", progress=told),
        report=reports.append,
        progress=lambda instance, done, total: None,
        observed=lambda apps, observed: None,
    )
    threads = [threading.Thread(target=each, args=(stopping,)) for each in (reconciler.run, reconciler.fetcher.run)]
    for thread in threads:
        thread.start()
    try:
        yield mailbox, reports
    finally:
        stopping.set()
        mailbox.poke()
        reconciler.fetcher.poke()
        for thread in threads:
            thread.join(60)


def outcome(bench: Bench, app: AppSection, tmp_path: Path, policy: Policy) -> InstanceStatus:
    """Return how it ended on a device of that policy."""
    with device(bench, tmp_path, policy) as (mailbox, reports):
        mailbox.put(desired(1, apps=(app,)))

        def ended() -> InstanceStatus | None:
            latest = reports[-1].instances if reports else ()
            return next((status for status in latest if status.state in ("converged", "failed")), None)

        wait_until(ended, timeout_s=60, what="the app converged or refused")
        found = ended()
    assert found is not None
    return found


def test_every_policy_case_is_here() -> None:
    assert DENIED.keys() | REFUSED.keys() <= TAKEN.keys() | REFUSED.keys()
    assert set(TAKEN) | set(REFUSED) == {
        folder.name.removeprefix(PREFIX).removesuffix(".yml") for folder in (CASES / "policy").iterdir()
    }


@pytest.mark.parametrize("case", sorted(DENIED))
def test_a_case_that_reaches_outside_is_refused_by_the_name_of_a_row_and_leaves_no_trace(
    bench: Bench, case: str, tmp_path: Path
) -> None:
    status = outcome(bench, app_of(case, bench, tmp_path), tmp_path, Policy())
    assert (status.state, status.message) == ("failed", f"refused by the device's policy: {DENIED[case]}")
    assert bench.engine.observe() == Observed()


@pytest.mark.parametrize("case", sorted(TAKEN.keys() - DENIED.keys()))
def test_a_case_that_stays_inside_runs(bench: Bench, case: str, tmp_path: Path) -> None:
    app = app_of(case, bench, tmp_path)
    status = outcome(bench, app, tmp_path, Policy())
    if bench.kind == "podman" and case in NOT_ON_PODMAN:
        assert (status.state, NOT_ON_PODMAN[case] in status.message) == ("failed", True)
        assert bench.engine.observe() == Observed()
        return
    assert (status.state, status.message) == ("converged", "")
    assert [(each.service, each.state) for each in bench.engine.containers()] == [("service1", "running")]


def test_a_case_that_reaches_outside_runs_where_its_owner_allows_it(bench: Bench, tmp_path: Path) -> None:
    assert bench.client is not None
    app = app_of("network-external", bench, tmp_path)
    name = f"skerry-test-{bench.instance}"
    networks = {"custom_net": app.spec.networks["custom_net"].model_copy(update={"external": name})}
    outside = app.model_copy(update={"spec": app.spec.model_copy(update={"networks": networks}), "digest": None})
    bench.client.create_network(name)
    try:
        allowed = outside.model_copy(update={"digest": outside.computed_digest()})
        status = outcome(bench, allowed, tmp_path, Policy(allow_external_networks=(name,)))
        assert (status.state, status.message) == ("converged", "")
        (made,) = bench.engine.containers()
        seen = bench.client.inspect_container(made.id)["NetworkSettings"]["Networks"]
        assert list(seen) == [name]
        bench.engine.remove(made.id)
    finally:
        bench.client.remove_network(name)
