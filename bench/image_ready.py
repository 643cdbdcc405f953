"""From blobs on the disk to an image that can be started: the worker and its engine, beside `docker load` of the same.

`./run bench image_ready [--rounds N] [--json]`. An image of 8 layers of 25 MB, half of it noise; the worker has all
blobs as they were pushed (gzip), `docker load` the archive that `docker save` wrote. They take turns, and the engine
has no layer of it before.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import docker

from device.images.fetcher import Fetcher
from device.images.loopback import Loopback
from device.images.source import Registry
from device.images.sources import Sources
from device.images.store import Store
from tests.harness.apps import section
from tests.harness.engine import device_engine, docker_client, registry, remove_images
from tests.harness.images import BuiltImage, built, layer_tar, upload
from tests.harness.servers import free_port, use_unpacked_servers

LAYERS, LAYER_BYTES, FILES = 8, 25_000_000, 50


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    use_unpacked_servers()
    with tempfile.TemporaryDirectory(prefix="skerry-") as name, registry(Path(name)) as address:
        client = docker_client()
        try:
            found = measured(Path(name), address, client, rounds=asked.rounds)
        finally:
            client.close()
    if asked.json:
        print(json.dumps(found))
    else:
        for what, value in found.items():
            print(f"{what:20} {value}")
    return 0


def measured(folder: Path, address: str, client: docker.APIClient, *, rounds: int) -> dict[str, object]:
    image = made_image()
    upload(address, image)
    loopback = Loopback(free_port())
    with device_engine() as engine:
        fetcher = Fetcher(
            store=Store(folder / "store", boot=""),
            sources=Sources(Registry(address, None, lambda repository, fresh: "none")),
            loopback=loopback,
            engine=engine,
            free_bytes=lambda: None,
        )
        fetcher.note([section({"web": {"image": image.image.model_dump()}})])
        name = fetcher.name(image.image)
        try:
            fetcher.fetch(name, lambda done, total: None)
            archive = folder / "archive.tar"
            subprocess.run(["docker", "save", "-o", str(archive), name], check=True)
            ours, load = [], []
            for _ in range(rounds):
                client.remove_image(name, force=True)
                began = time.monotonic()
                fetcher.fetch(name, lambda done, total: None)
                ours.append(time.monotonic() - began)
                identity = client.inspect_image(name)["Id"]
                client.remove_image(name, force=True)
                began = time.monotonic()
                subprocess.run(["docker", "load", "-q", "-i", str(archive)], check=True, capture_output=True)
                load.append(time.monotonic() - began)
                client.tag(identity, name.partition("@")[0], "loaded")
                client.remove_image(identity, force=True)
                fetcher.fetch(name, lambda done, total: None)
        finally:
            loopback.close()
            remove_images(client, loopback.address)
    return {
        "tar_bytes": sum(len(tar) for tar in image.tars),
        "gzip_bytes": sum(len(layer) for layer in image.layers),
        "ours_s": [round(each, 2) for each in ours],
        "load_s": [round(each, 2) for each in load],
        "ours_median_s": round(statistics.median(ours), 2),
        "load_median_s": round(statistics.median(load), 2),
        "ratio": round(statistics.median(ours) / statistics.median(load), 2),
        "ratio_of_best": round(min(ours) / min(load), 2),
    }


def made_image() -> BuiltImage:
    """Return an image whose layers no engine has seen: half noise, half text."""
    mark = secrets.token_bytes(8)
    size = LAYER_BYTES // FILES
    tars = []
    for number in range(LAYERS):
        spread = random.Random(mark + bytes([number]))  # noqa: S311 - content
        files = {}
        for file in range(FILES):
            data = spread.randbytes(size) if file % 2 else (spread.randbytes(64).hex() * (size // 128 + 1)).encode()
            files[f"layer{number}/file{file}"] = data[:size]
        tars.append(layer_tar(files))
    return built(tars)


if __name__ == "__main__":
    raise SystemExit(main())
