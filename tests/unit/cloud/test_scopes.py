"""What tokens may do."""

from __future__ import annotations

from cloud.scopes import Grant, granted, is_of_org, may, parse_docker_scopes

ORG, OTHER = "o" + "a" * 11, "o" + "b" * 11


def test_a_scope_is_a_whole_word() -> None:
    assert may("read deploy", "deploy")
    assert not may("read deployer", "deploy")
    assert not may("", "deploy")


def test_a_repository_of_another_organisation_is_never_granted() -> None:
    wanted = [Grant(f"{OTHER}/web", ("pull",)), Grant(f"{ORG}/web", ("pull", "push"))]
    assert granted(ORG, wanted, allowed=("pull",)) == (Grant(f"{ORG}/web", ("pull",)),)


def test_the_organisation_must_be_a_whole_part_of_the_name() -> None:
    assert not is_of_org(f"{ORG}x/web", ORG)
    assert not is_of_org(ORG, ORG)
    assert not is_of_org(f"{ORG}/../{OTHER}/web", ORG)


def test_docker_scopes_come_repeated_and_joined() -> None:
    scopes = [f"repository:{ORG}/web:pull,push repository:host:5000/x:pull", "registry:catalog:*", "nonsense", ""]
    assert parse_docker_scopes(scopes) == (
        Grant(f"{ORG}/web", ("pull", "push")),
        Grant("host:5000/x", ("pull",)),
    )
