"""Which sections and which generation."""

from __future__ import annotations

from dataclasses import replace

from broker.appspec import AppSpec
from broker.messages import LinkPolicy
from broker.policy import Grants
from cloud.desired import CLAIM_MAX, Placed, content, next_generation, section, sections
from cloud.store.rows import Instance

SPEC = AppSpec.model_validate(
    {"name": "web", "services": {"web": {"image": {"repository": "o/a/web", "digest": "sha256:" + "0" * 64}}}}
)


def placed(tail: str, *, attempt: int = 0, force: bool = False, **variables: str) -> Placed:
    settings = {"force": True} if force else {}
    instance = Instance(
        "i" + tail * 11, "o" + "a" * 11, "a" + "a" * 11, "f", SPEC.digest, variables, attempt, settings, {}
    )
    return Placed(instance, "web", SPEC, {})


def test_the_next_generation_is_above_the_stored_and_the_claimed_one() -> None:
    assert next_generation(1, 0, (0, 0)) == 1
    assert next_generation(1, 40, (1, 57)) == 58
    assert next_generation(1, 60, (1, 57)) == 61


def test_a_claim_of_another_era_or_beyond_belief_uses_no_numbers_up() -> None:
    assert next_generation(1, 4, (2, 90)) == 5
    assert next_generation(1, 4, (1, CLAIM_MAX + 1)) == 5


def test_a_section_names_its_own_digest() -> None:
    made = section(placed("b", A="1"))
    assert made.digest == made.computed_digest()


def test_equal_fleets_give_equal_sections_in_any_order() -> None:
    one, other = placed("b"), placed("c")
    assert sections([one, other]) == sections([other, one])


def test_ignoring_the_lock_is_a_setting_of_the_section() -> None:
    assert section(placed("a")).settings == {}
    assert section(placed("a", force=True)).settings == {"force": True}
    assert section(placed("a", force=True)).digest != section(placed("a")).digest


def test_content_changes_with_variables_and_with_another_attempt() -> None:
    asked = {content(sections([placed("b", attempt=n, A=a)]), None) for n in (0, 1) for a in ("1", "2")}
    assert len(asked) == 4


def test_content_changes_with_the_link_policy() -> None:
    asked = {content((), link) for link in (None, LinkPolicy(), LinkPolicy(mirrors=("http://10.0.0.9",)))}
    assert len(asked) == 3


def test_what_was_granted_is_part_of_the_section_and_of_its_digest() -> None:
    bare = placed("a")
    granted = replace(bare, instance=replace(bare.instance, grants={"allow_privileged": True}))
    assert section(granted).grants == Grants(allow_privileged=True)
    assert section(granted).digest != section(bare).digest
