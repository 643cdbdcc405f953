"""`extends`: a service that starts from another one, in the same file or in another. Pure; files come from `read`."""

from __future__ import annotations

from collections.abc import Callable

from compose.budget import Take
from compose.errors import ComposeError, Path, Place
from compose.merge import merged, settled
from compose.tree import Table, text_of

ReadServices = Callable[[str, Place, Path], Table]
Chain = tuple[tuple[str, str], ...]
CHAIN_MAX = 50


def extended(services: Table, *, file: str, earlier: Table, read: ReadServices, take: Take) -> Table:
    """Return the services of `file` with their `extends` carried out.

    `earlier` holds what earlier files of the project say, for a service that extends one of those; `read` returns the
    services of another file; `take` hears of each service that is made on the way.
    """
    nodes = dict(services.nodes)
    for name, service in services.nodes.items():
        if isinstance(service, Table) and "extends" in service.nodes:
            nodes[name] = _extended(name, services, file=file, earlier=earlier, read=read, take=take, chain=())
    return services.of(nodes)


def _extended(
    name: str, services: Table, *, file: str, earlier: Table, read: ReadServices, take: Take, chain: Chain
) -> Table:
    service = services.nodes[name]
    assert isinstance(service, Table)
    extends = service.nodes.get("extends")
    if not isinstance(extends, Table):
        return service
    path: Path = ("services", name, "extends")
    if (file, name) in chain or len(chain) >= CHAIN_MAX:
        circle = " -> ".join([*(one for _, one in chain), name])
        raise ComposeError(f"extends goes in a circle: {circle}", place=extends.place, path=path)
    base_name = text_of(extends.nodes.get("service"))
    if not base_name:
        raise ComposeError("needs 'service', the name of the service to start from", place=extends.place, path=path)
    other = text_of(extends.nodes.get("file"))
    if other and other != file:
        base_services, earlier = read(other, extends.place, path), Table({})
    else:
        base_services, other = services, file
    if base_name not in base_services.nodes and base_name in earlier.nodes:
        base_services, other = earlier, "(earlier files)"
    if not isinstance(base_services.nodes.get(base_name), Table):
        raise ComposeError(f"there is no service {base_name!r} to extend", place=extends.place, path=path)
    deeper: Chain = (*chain, (file, name))
    base = _extended(base_name, base_services, file=other, earlier=earlier, read=read, take=take, chain=deeper)
    where: Path = ("services", name)
    result = merged(settled(base, where), service.without("extends"), where)
    assert isinstance(result, Table)
    take(result, where)
    return result.without("extends")
