"""Mounts and devices in all their forms."""

from __future__ import annotations

import pytest

from compose.errors import NOWHERE, ComposeError
from compose.forms.mounts import device, mount
from compose.tree import Plain, grown, plain


def test_a_single_path_is_an_anonymous_volume() -> None:
    assert plain(mount(grown("/data", NOWHERE), ())) == {"type": "volume", "target": "/data", "volume": {}}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("data:/data", {"type": "volume", "source": "data", "target": "/data", "volume": {}}),
        ("./a:/b/", {"type": "bind", "source": "./a", "target": "/b", "bind": {}}),
        ("/a:/b:ro", {"type": "bind", "source": "/a", "target": "/b", "read_only": True, "bind": {}}),
        ("~/a:/b:rw", {"type": "bind", "source": "~/a", "target": "/b", "bind": {}}),
        (
            "/a:/b:rslave,Z",
            {"type": "bind", "source": "/a", "target": "/b", "bind": {"propagation": "rslave", "selinux": "Z"}},
        ),
        ("d:/b:nocopy", {"type": "volume", "source": "d", "target": "/b", "volume": {"nocopy": True}}),
        ("d:/b:cached", {"type": "volume", "source": "d", "target": "/b", "volume": {}}),
        ("C:\\x:/b:ro", {"type": "bind", "source": "C:\\x", "target": "/b", "read_only": True, "bind": {}}),
        ("c:/x:/b", {"type": "bind", "source": "c:/x", "target": "/b", "bind": {}}),
        ("c:/x", {"type": "volume", "source": "c", "target": "/x", "volume": {}}),
        ("c:/x:ro", {"type": "volume", "source": "c", "target": "/x", "read_only": True, "volume": {}}),
    ],
)
def test_a_short_mount_becomes_a_record(written: str, expected: Plain) -> None:
    assert plain(mount(grown(written, NOWHERE), ())) == expected


@pytest.mark.parametrize("written", ["", "a:", ":/b", "a:/b:ro:x", "C:\\x:/b:ro:x", 1, ["a"], {"type": "x"}])
def test_what_is_no_mount_is_refused(written: Plain) -> None:
    with pytest.raises(ComposeError):
        mount(grown(written, NOWHERE), ())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
        ("vendor.com/class=name", ("vendor.com/class=name", "vendor.com/class=name", "rwm")),
        ("/dev/a:/dev/b:rw", ("/dev/a", "/dev/b", "rw")),
    ],
)
def test_a_short_device_becomes_a_record(written: str, expected: tuple[str, str, str]) -> None:
    assert plain(device(grown(written, NOWHERE), ())) == dict(
        zip(("source", "target", "permissions"), expected, strict=True)
    )
