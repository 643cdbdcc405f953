"""Which release of an app the engine shall hold now: the asked one, or the present one until then. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from broker.appspec import AppSpec
from broker.messages import AppSection
from device.reconcile.journal import Entry
from device.reconcile.lock import HeldLock

Objections = Callable[[AppSpec], Sequence[str]]
Phase = Literal["hold", "fetching", "waiting", "switching", "kept"]


@dataclass(frozen=True)
class Aim:
    """What one app is on its way to, before it is known whether it can go there now.

    `target` None: whatever runs of it is left alone. `why` says for what reason the target is not the asked one.
    """

    asked: AppSection
    current: AppSection | None  # what the engine holds, or is being brought to
    target: AppSection | None
    good: AppSection | None  # the one to go back to
    reason: Literal["", "refused", "bad", "paused"] = ""
    why: str = ""

    @property
    def is_going_back(self) -> bool:
        """Return whether the asked one was tried and did not work, and another one is to run."""
        return self.reason == "bad" and self.target is not None and self.target.digest != self.asked.digest

    @property
    def sections(self) -> tuple[AppSection, ...]:
        """Return the releases that have a part in this, each once."""
        every = (self.target, self.current, self.good)
        return tuple({section.digest: section for section in every if section is not None}.values())


def aim(asked: AppSection, entry: Entry, objections: Objections) -> Aim:
    """Return where an app shall go. The owner's policy is asked about whatever might run, not only the newest."""

    def allowed(section: AppSection | None) -> AppSection | None:
        return section if section is not None and not objections(section.spec) else None

    current, good = allowed(entry.current), allowed(entry.good)
    digest = asked.digest or ""
    why = objections(asked.spec)
    if why:
        return Aim(asked, current, current, good, "refused", "refused by the device's policy: " + "; ".join(why))
    if digest in entry.paused:
        return Aim(asked, current, None, good, "paused", entry.paused[digest])
    if digest in entry.bad:
        missing = entry.good is not None and good is None
        note = "\nno release to go back to: the device's policy refuses the last good one" if missing else ""
        return Aim(asked, current, good or asked, good, "bad", entry.bad[digest] + note)
    return Aim(asked, current, asked, good)


@dataclass(frozen=True)
class Choice:
    """`run` None: what there is of the app is left alone. `begins`: the journal must say so first."""

    run: AppSection | None
    phase: Phase
    begins: bool = False


def choose(of: Aim, *, is_here: Callable[[AppSection], bool], is_whole: bool, lock: HeldLock | None) -> Choice:
    """Return what to run now. `is_here`: every image that a release still needs is; `is_whole`: the current one runs,
    all of it and nothing else; `lock`: the one that counts, if any."""
    target, current = of.target, of.current
    if target is None:
        return Choice(None, "kept")
    if current is None:
        is_known_bad = of.reason == "bad"  # it stays, for people to look at: there is nothing to go back to
        begun = Choice(target, "hold") if is_known_bad else Choice(target, "switching", begins=True)
        return begun if is_here(target) else Choice(None, "fetching")
    if target.digest == current.digest:
        good = of.good
        if not is_here(target) and not is_whole and good is not None and good.digest != target.digest and is_here(good):
            # Half way to a release whose images went away: back to the one that is here, until the other can be had.
            return Choice(good, "fetching", begins=True)
        return Choice(target, "hold")
    if not is_here(target):
        return Choice(current, "fetching")
    is_settled = is_whole or (of.good is not None and of.good.digest == current.digest)
    if lock is not None and is_settled:  # a switch that has begun is not stopped half way
        return Choice(current, "waiting")
    return Choice(target, "switching", begins=True)
