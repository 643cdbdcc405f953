"""An engine that fails to answer leaves everything unknown: never gone, never refused, and never a dead thread."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device.engine.docker import DockerEngine
from device.engine.port import EngineUnavailable, Observed
from tests.harness.engine_bench import Bench
from tests.harness.engine_proxy import EngineProxy, engine_proxy

DOCKER = "unix:///var/run/docker.sock"


@pytest.fixture
def proxy(real: Bench) -> Iterator[EngineProxy]:
    with tempfile.TemporaryDirectory() as folder, engine_proxy(Path(folder), real.url or DOCKER) as made:
        yield made


@pytest.fixture
def behind(real: Bench, proxy: EngineProxy) -> Iterator[DockerEngine]:
    """The same device's engine, through a proxy that can do harm."""
    engine = DockerEngine(device=real.device, url=proxy.url)
    yield engine
    engine.close()


QUESTIONS: dict[str, tuple[str, Callable[[DockerEngine, Bench], object]]] = {
    "containers": ("/containers/json", lambda engine, bench: engine.containers()),
    "networks": ("/networks", lambda engine, bench: engine.resources()),
    "volumes": ("/volumes", lambda engine, bench: engine.observe()),
    "image": ("/images/", lambda engine, bench: engine.has_image(bench.image)),
    "details": ("/json", lambda engine, bench: engine.details("0" * 64)),
}


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_that_fails_leaves_the_answer_unknown(
    real: Bench, proxy: EngineProxy, behind: DockerEngine, question: str, status: int
) -> None:
    path, ask = QUESTIONS[question]
    proxy.answer(path, status)
    with pytest.raises(EngineUnavailable):
        ask(behind, real)


def test_an_answer_that_breaks_off_leaves_it_unknown(real: Bench, proxy: EngineProxy, behind: DockerEngine) -> None:
    real.up(real.web())
    assert len(behind.containers()) == 1
    proxy.cut("/containers/json", 300)
    with pytest.raises(EngineUnavailable):
        behind.containers()
    proxy.heal()
    assert len(behind.containers()) == 1


def test_a_pull_that_breaks_off_is_an_engine_that_does_not_answer(
    real: Bench, proxy: EngineProxy, behind: DockerEngine
) -> None:
    proxy.cut("/images/", 200)
    with pytest.raises(EngineUnavailable):
        behind.pull(real.image, token="none", progress=lambda done, total: None)


def test_an_engine_that_was_away_is_found_again(proxy: EngineProxy, behind: DockerEngine) -> None:
    assert behind.observe() == Observed()
    proxy.down()
    with pytest.raises(EngineUnavailable):
        behind.observe()
    proxy.up()
    assert behind.observe() == Observed()


def test_events_are_heard_again_after_the_engine_was_away(
    real: Bench, proxy: EngineProxy, behind: DockerEngine
) -> None:
    behind.wait_for_event(0.01)
    proxy.down()
    with pytest.raises(EngineUnavailable):
        behind.wait_for_event(30.0)
    with pytest.raises(EngineUnavailable):
        behind.wait_for_event(0.01)
    proxy.up()
    behind.wait_for_event(0.01)
    real.up(real.web())
    assert behind.wait_for_event(10.0)


def test_followed_logs_end_with_the_engine_and_go_on_where_they_were(
    real: Bench, proxy: EngineProxy, behind: DockerEngine
) -> None:
    made = real.run(
        command=["/bin/busybox", "sh", "-c", "for i in 1 2 3; do echo $i; done; exec /bin/busybox sleep 60"]
    )
    lines = behind.follow_logs(made.id, since_ns=0)
    first = next(lines)
    proxy.down()
    with pytest.raises(EngineUnavailable):
        list(lines)
    proxy.up()
    again = behind.follow_logs(made.id, since_ns=first.at_ns)
    assert [next(again).text, next(again).text] == ["2", "3"]
    again.close()  # type: ignore[attr-defined]


def test_what_waits_ends_when_the_engine_is_closed(real: Bench) -> None:
    made = real.run()
    lines = real.engine.follow_logs(made.id, since_ns=0)
    assert next(lines).text == "begun"
    real.engine.close()
    assert list(lines) == []
    with pytest.raises(EngineUnavailable):
        real.engine.wait_for_event(0.01)
