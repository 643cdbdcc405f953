"""Makes one patch from two tars on the disk, and tries it. It runs as a process of its own, with bounded memory.

`python -m cloud.patching.making BASE RESULT PATCH`, with the digests of the tars as `sha256:..` in between.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

from broker.patches import Base, Head, applied, packed_segment, read_head
from cloud.patching.alike import Segment, listed, segments

# The level by how many bytes there are to compress, and to compress against: none takes over 5 s (bench/RESULTS.md).
LEVELS = ((6 * 2**20, 19), (24 * 2**20, 17), (128 * 2**20, 10))
LEVEL_LAST = 5
AT_ONCE = 2  # segments; each holds some 50 MB


def make(base: Path, result: Path, patch: Path, *, base_digest: str, result_digest: str) -> int:
    """Write the patch; return its size. Raises what `OSError` there is; the patch is not tried yet."""
    with (
        base.open("rb", buffering=0) as old,
        result.open("rb", buffering=0) as new,
        patch.open("wb") as out,
        ThreadPoolExecutor(AT_ONCE) as threads,  # hashing and compressing leave Python's lock
    ):
        base_bytes, result_bytes = os.fstat(old.fileno()).st_size, os.fstat(new.fileno()).st_size
        from_base, from_result = reading(old.fileno()), reading(new.fileno())
        out.write(Head(base_digest, base_bytes, result_digest, result_bytes).packed())
        in_base, in_result = threads.map(listed, (from_base, from_result), (base_bytes, result_bytes))
        found = segments(from_base, in_base, from_result, in_result)
        level = level_for(found)

        def packed(segment: Segment) -> bytes:
            fresh = b"".join(from_result(each.start, each.length) for each in segment.fresh)
            return packed_segment(segment.plan, fresh, from_base, level=level)

        for data in in_order(threads, packed, found):
            out.write(data)
        return out.tell()


def in_order(threads: Executor, deed: Callable[[Segment], bytes], found: Sequence[Segment]) -> Iterator[bytes]:
    """Yield what a deed makes of each segment, some at once; no more is held than of these."""
    waiting: deque[Future[bytes]] = deque()
    for segment in found:
        if len(waiting) == AT_ONCE:
            yield waiting.popleft().result()
        waiting.append(threads.submit(deed, segment))
    for each in waiting:
        yield each.result()


def level_for(found: Sequence[Segment]) -> int:
    work = sum(each.length for segment in found for each in (*segment.fresh, *segment.plan.prefix))
    return next((level for work_max, level in LEVELS if work <= work_max), LEVEL_LAST)


def tried(base: Path, patch: Path) -> None:
    """Apply a patch to nothing; raise `BadPatch` where it does not make what it says."""
    with base.open("rb", buffering=0) as old, patch.open("rb") as file:
        head = read_head(file)
        for _ in applied(file, reading(old.fileno()), head=head):
            pass


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
