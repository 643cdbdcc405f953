"""What the cloud finds alike in two layers, and that patches of it make the new one."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from broker.patches import FRESH_MAX, PREFIX_MAX, BadPatch
from cloud.patching.alike import Segment, listed, segments
from cloud.patching.making import main, make, reading, tried
from cloud.patching.pairing import Contents, partner
from cloud.patching.tar_entries import entries

CODE = {f"site/pkg{n}/module.py": b"".join(b"line %d of %d\n" % (k, n) for k in range(200)) for n in range(40)}


def noise(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - any bytes


def tar(path: Path, files: Mapping[str, bytes], *, mtime: int = 0, format: int = tarfile.GNU_FORMAT) -> Path:  # noqa: A002
    with tarfile.open(path, "w", format=format) as file:
        for name, data in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            file.addfile(info, io.BytesIO(data))
    return path


def patched(tmp_path: Path, old: Path, new: Path) -> int:
    """Make a patch, try it, and return its size."""
    digests = [f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in (old, new)]
    size = make(old, new, tmp_path / "patch", base_digest=digests[0], result_digest=digests[1])
    tried(old, tmp_path / "patch")
    assert size == (tmp_path / "patch").stat().st_size
    return size


def segmented(old: Path, new: Path) -> list[Segment]:
    with old.open("rb") as a, new.open("rb") as b:
        base, result = reading(a.fileno()), reading(b.fileno())
        return segments(base, listed(base, old.stat().st_size), result, listed(result, new.stat().st_size))


def planned(old: Path, new: Path) -> tuple[int, int]:
    """Return how many bytes are fresh, and how many are copied."""
    found = segmented(old, new)
    fresh = sum(each.length for segment in found for each in segment.fresh)
    return fresh, sum(step.copied.length for segment in found for step in segment.plan.steps)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_the_entries_of_a_tar_are_the_whole_of_it(tmp_path: Path, format: int) -> None:  # noqa: A002
    names = ["a", "folder/" + "b" * 90, *([] if format == tarfile.USTAR_FORMAT else ["long/" * 60 + "name"])]
    path = tar(tmp_path / "t", {name: name.encode() * 99 for name in names}, format=format)
    with path.open("rb") as file:
        found = entries(reading(file.fileno()), path.stat().st_size)
    assert [entry.path for entry in found] == [*sorted(names), ""]
    assert [entry.start for entry in found] == [0, *(entry.end for entry in found[:-1])]
    assert found[-1].end == path.stat().st_size


def test_what_is_no_tar_is_one_file(tmp_path: Path) -> None:
    data = noise(1).randbytes(3_000)
    assert [(entry.path, entry.size) for entry in entries(lambda start, n: data[start : start + n], 3_000)] == [
        ("", 3_000)
    ]


def test_an_equal_layer_is_copied(tmp_path: Path) -> None:
    old, new = tar(tmp_path / "old", CODE), tar(tmp_path / "new", CODE)
    assert patched(tmp_path, old, new) < 200
    assert planned(old, new) == (0, old.stat().st_size)


def test_new_times_cost_a_few_bytes_for_each_file(tmp_path: Path) -> None:
    old, new = tar(tmp_path / "old", CODE), tar(tmp_path / "new", CODE, mtime=1_700_000_000)
    assert patched(tmp_path, old, new) < 20 * len(CODE)


def test_a_changed_line_costs_a_line(tmp_path: Path) -> None:
    changed = CODE | {"site/pkg7/module.py": CODE["site/pkg7/module.py"] + b"one more\n"}
    assert patched(tmp_path, tar(tmp_path / "old", CODE), tar(tmp_path / "new", changed)) < 500


def test_a_file_under_another_path_is_copied(tmp_path: Path) -> None:
    data = noise(2).randbytes(50_000)
    old, new = tar(tmp_path / "old", {"a/x-1.0/lib.so": data}), tar(tmp_path / "new", {"b/lib.so": data})
    assert patched(tmp_path, old, new) < 1_000


def test_a_file_whose_name_differs_in_its_version_is_compared_with_the_one_before(tmp_path: Path) -> None:
    data = noise(3).randbytes(50_000)
    old = tar(tmp_path / "old", {"lib-1.2.so": data, "z": b"other"})
    new = tar(tmp_path / "new", {"lib-1.3.so": data[:25_000] + b"!" + data[25_000:], "z": b"other"})
    assert patched(tmp_path, old, new) < 1_500


def test_a_file_larger_than_a_segment_is_cut_and_still_compared(tmp_path: Path) -> None:
    data = noise(4).randbytes(FRESH_MAX + 9 * 2**20)
    old = tar(tmp_path / "old", {"model": data})
    new = tar(tmp_path / "new", {"model": b"x" + data[:7_000_000] + b"y" + data[7_000_000:-5] + b"zz"})
    assert patched(tmp_path, old, new) < 10_000
    found = segmented(old, new)
    assert max(sum(each.length for each in segment.fresh) for segment in found) <= FRESH_MAX
    assert max(sum(each.length for each in segment.plan.prefix) for segment in found) <= PREFIX_MAX


def test_bytes_that_are_no_tar_are_patched_too(tmp_path: Path) -> None:
    data = noise(5).randbytes(200_000)
    (tmp_path / "old").write_bytes(data)
    (tmp_path / "new").write_bytes(data[:100_000] + b"!" + data[100_000:])
    assert patched(tmp_path, tmp_path / "old", tmp_path / "new") < 500


def test_layers_with_nothing_in_common_make_a_patch_all_the_same(tmp_path: Path) -> None:
    old, new = tar(tmp_path / "old", {"a": b"1" * 9_000}), tar(tmp_path / "new", {"b": b"2" * 9_000})
    patched(tmp_path, old, new)


def test_a_wrong_promise_is_noticed_before_anybody_gets_it(tmp_path: Path) -> None:
    old, new = tar(tmp_path / "old", CODE), tar(tmp_path / "new", CODE, mtime=5)
    wrong = "sha256:" + "0" * 64
    with pytest.raises(BadPatch, match="is not sha256:0000"):
        main([str(old), wrong, str(new), wrong, str(tmp_path / "patch")])


def test_a_layer_is_compared_with_the_one_that_shares_its_files() -> None:
    bases = [Contents({"etc/os": 9_000}, "FROM"), Contents({"app/main.py": 900, "x": 1}, "COPY . /app")]
    assert partner(Contents({"app/main.py": 1_000, "app/new.py": 50_000}, ""), bases) == 1
    assert partner(Contents({"app2/main.py": 1_000}, "COPY . /app"), bases) == 1  # nothing shared, but made alike
    assert partner(Contents({"usr/bin/other": 1_000}, "RUN build"), bases) is None
