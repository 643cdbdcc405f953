"""When a device gets its newest desired state once more: often at first, then ever more rarely. Pure.

A link that loses half of everything needs several tries within its minutes; a device that refuses a state for good must
not be sent it four times a minute for ever.

On a return, the broker hands over the retained state by itself; so a moment is waited before sending the bytes again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from broker.ids import DeviceRef

FIRST_S = 3.0
OFTEN_S = 12.0
OFTEN_TRIES = 20
LONGEST_S = 3600.0
DEVICES_MAX = 100_000


@dataclass(frozen=True)
class _Plan:
    due_s: float | None
    delay_s: float
    tried_s: float
    tries: int = 0


class Resend:
    """Remembers per device when to send again; `want` while one is planned changes nothing."""

    def __init__(self) -> None:
        self._plans: OrderedDict[DeviceRef, _Plan] = OrderedDict()

    def want(self, device: DeviceRef, *, now_s: float) -> None:
        """Plan one, not earlier than the delay after the last one."""
        plan = self._plans.get(device)
        if plan is None:
            self._plans[device] = _Plan(now_s + FIRST_S, FIRST_S, now_s)
        elif plan.due_s is None:
            due_s = max(now_s + FIRST_S, plan.tried_s + plan.delay_s)
            self._plans[device] = _Plan(due_s, plan.delay_s, plan.tried_s, plan.tries)
        if len(self._plans) > DEVICES_MAX:
            self._plans.popitem(last=False)

    def due(self, *, now_s: float) -> list[DeviceRef]:
        """Return the devices whose time has come; each counts as tried."""
        ready = [device for device, plan in self._plans.items() if plan.due_s is not None and plan.due_s <= now_s]
        for device in ready:
            plan = self._plans[device]
            longest_s = OFTEN_S if plan.tries < OFTEN_TRIES else LONGEST_S
            self._plans[device] = _Plan(None, min(longest_s, plan.delay_s * 2), now_s, plan.tries + 1)
        return ready

    def due_in_s(self, *, now_s: float) -> float | None:
        """Return the seconds until the next one, or None when none is planned."""
        planned = [plan.due_s for plan in self._plans.values() if plan.due_s is not None]
        return max(0.0, min(planned) - now_s) if planned else None

    def settled(self, device: DeviceRef) -> None:
        """Forget a device: it has what it should have."""
        self._plans.pop(device, None)
