"""Makes one patch from two tars on the disk, and tries it. It runs as a process of its own, with bounded memory.

`python -m cloud.patching.making BASE RESULT PATCH`, with the digests of the tars as `sha256:..` in between.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from broker.patches import Base, Head, applied, packed_segment, read_head
from cloud.patching.alike import Segment, segments

# The level by how many bytes there are to compress, and to compress against: none takes over 5 s (bench/RESULTS.md).
LEVELS = ((6 * 2**20, 19), (24 * 2**20, 17), (128 * 2**20, 10))
LEVEL_LAST = 5


def make(base: Path, result: Path, patch: Path, *, base_digest: str, result_digest: str) -> int:
    """Write the patch; return its size. Raises what `OSError` there is; the patch is not tried yet."""
    with base.open("rb", buffering=0) as old, result.open("rb", buffering=0) as new, patch.open("wb") as out:
        base_bytes, result_bytes = os.fstat(old.fileno()).st_size, os.fstat(new.fileno()).st_size
        from_base, from_result = reading(old.fileno()), reading(new.fileno())
        out.write(Head(base_digest, base_bytes, result_digest, result_bytes).packed())
        found = segments(from_base, base_bytes, from_result, result_bytes)
        level = level_for(found)
        for segment in found:
            fresh = b"".join(from_result(each.start, each.length) for each in segment.fresh)
            out.write(packed_segment(segment.plan, fresh, from_base, level=level))
        return out.tell()


def level_for(found: Sequence[Segment]) -> int:
    work = sum(each.length for segment in found for each in (*segment.fresh, *segment.plan.prefix))
    return next((level for work_max, level in LEVELS if work <= work_max), LEVEL_LAST)


def tried(base: Path, patch: Path) -> str:
    """Apply a patch to nothing; return the digest of what it makes. Raises `BadPatch`."""
    found = hashlib.sha256()
    with base.open("rb", buffering=0) as old, patch.open("rb") as file:
        head = read_head(file)
        for piece in applied(file, reading(old.fileno()), head=head):
            found.update(piece)
    return f"sha256:{found.hexdigest()}"


def reading(descriptor: int) -> Base:
    """Return a reader of a file's ranges; it raises `OSError` where the file is shorter."""

    def read(start: int, length: int) -> bytes:
        data = os.pread(descriptor, length, start)
        if len(data) != length:
            raise OSError(f"the file ends before byte {start + length}")
        return data

    return read


def main(arguments: Sequence[str]) -> int:
    base, base_digest, result, result_digest, patch = arguments
    make(Path(base), Path(result), Path(patch), base_digest=base_digest, result_digest=result_digest)
    tried(Path(base), Path(patch))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
