"""The labels by which we know what is ours. An app may not set one (the AppSpec refuses the prefix)."""

from __future__ import annotations

from broker.appspec import LABEL_PREFIX

DEVICE = LABEL_PREFIX + "device"  # whose worker made it; nothing without it is ever touched
INSTANCE = LABEL_PREFIX + "instance"
SERVICE = LABEL_PREFIX + "service"
INDEX = LABEL_PREFIX + "index"  # which of the service's replicas; without it the first
HASH = LABEL_PREFIX + "hash"  # what it was made from: identity is this, never a comparison with inspect output
RESTART = LABEL_PREFIX + "restart"  # the restart policy it was made with: not in the hash, as it can change in place
JOINED = LABEL_PREFIX + "joined"  # the ids of the containers whose namespaces or volumes it uses
RELEASE = LABEL_PREFIX + "release"
RESOURCE = LABEL_PREFIX + "resource"  # the name of a network or volume inside its app
START_INTERVAL = LABEL_PREFIX + "start-interval-ms"  # of a health check, where the engine has no place for it
