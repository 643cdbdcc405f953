"""All tables. A change here needs a migration: a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_ID = String(12)
_DIGEST = String(71)
_ALIVE = text("deleted_ms IS NULL")
_UNSENT = text("sent_ms IS NULL")
_NOT_ISSUED = text("generation IS NULL")
_COMMAND_OPEN = text("state IN ('waiting', 'sent')")


def _table(name: str, *parts: Column[object] | Index | ForeignKeyConstraint) -> Table:
    return Table(name, METADATA, *parts)


def _unique_name(name: str, *columns: str) -> Index:
    """Return the rule that a name is taken once among what is not deleted."""
    return Index(name, *columns, unique=True, sqlite_where=_ALIVE, postgresql_where=_ALIVE)


meta = _table(
    "meta",
    Column("id", Integer, primary_key=True),
    Column("store", String(64), nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("era", BigInteger, nullable=False),
)
orgs = _table(
    "orgs",
    Column("org", _ID, primary_key=True),
    Column("name", String(63), nullable=False),
    Column("system", Boolean, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Column("keep_days", Integer),
    _unique_name("uq_orgs_name", "name"),
)
users = _table(
    "users",
    Column("user", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("password", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    _unique_name("uq_users_name", "name"),
)
tokens = _table(
    "tokens",
    Column("hash", String(64), primary_key=True),
    Column("user", _ID, ForeignKey("users.user"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)
fleets = _table(
    "fleets",
    Column("fleet", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Column("link", Text, nullable=False, server_default="{}"),
    _unique_name("uq_fleets_org_name", "org", "name"),
)
devices = _table(
    "devices",
    Column("device", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("fleet", _ID, ForeignKey("fleets.fleet"), nullable=False, index=True),
    Column("shard", Integer, nullable=False, index=True),
    Column("enrolled_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    Column("key_number", Integer, nullable=False),
    Column("identity_key", LargeBinary, nullable=False),
    Column("tls_key", String(64), nullable=False),
    Column("certificate", Text, nullable=False),
    Column("trust", LargeBinary, nullable=False),
    Column("enroll_token", String(64), nullable=False),
    Column("link", Text, nullable=False, server_default="{}"),
    Column("retire", String(16)),
    _unique_name("uq_devices_org_name", "org", "name"),
)
revocations = _table(
    "revocations",
    Column("serial", String(48), primary_key=True),
    Column("device", _ID, ForeignKey("devices.device"), nullable=False, index=True),
    Column("revoked_ms", BigInteger, nullable=False),
    Column("settled", Boolean, nullable=False),
)
enroll_tokens = _table(
    "enroll_tokens",
    Column("hash", String(64), primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False),
    Column("fleet", _ID, ForeignKey("fleets.fleet"), nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("by", String(63), nullable=False),
    Column("needs_approval", Boolean, nullable=False, server_default="0"),
    Column("serials", Text, nullable=False, server_default="[]"),
)
enrollments = _table(
    "enrollments",
    Column("request", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False, index=True),
    Column("fleet", _ID, ForeignKey("fleets.fleet"), nullable=False),
    Column("enroll_token", String(64), nullable=False),
    Column("tls_key", String(64), nullable=False),
    Column("identity_key", LargeBinary, nullable=False),
    Column("name", String(63)),
    Column("serial", String(64), nullable=False),
    Column("host", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("by", String(63), nullable=False),
    Column("replaces", _ID),
    Index("uq_enrollments_key", "enroll_token", "tls_key", unique=True),
)
apps = _table(
    "apps",
    Column("app", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    _unique_name("uq_apps_org_name", "org", "name"),
)
releases = _table(
    "releases",
    Column("app", _ID, ForeignKey("apps.app"), primary_key=True),
    Column("digest", _DIGEST, primary_key=True),
    Column("version", String(100), nullable=False),
    Column("spec", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("pushed_ms", BigInteger, nullable=False),
    Column("by", String(63), nullable=False),
)
secrets = _table(
    "secrets",
    Column("app", _ID, ForeignKey("apps.app"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("fleet", _ID, ForeignKey("fleets.fleet")),
    Column("pinned", Boolean, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("by", String(63), nullable=False),
)
seals = _table(
    "seals",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("app", _ID, ForeignKey("apps.app"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("key_number", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
patches = _table(
    "patches",
    Column("repository", String(255), primary_key=True),
    Column("image", _DIGEST, primary_key=True),
    Column("base", _DIGEST, primary_key=True),
    Column("app", _ID, ForeignKey("apps.app"), nullable=False, index=True),
    Column("artifact", String(71), nullable=False),
    Column("blobs", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("made_ms", BigInteger, nullable=False),
)
instances = _table(
    "instances",
    Column("instance", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False),
    Column("app", _ID, nullable=False),
    Column("fleet", _ID, ForeignKey("fleets.fleet"), nullable=False, index=True),
    Column("release", _DIGEST, nullable=False),
    Column("variables", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("settings", Text, nullable=False, server_default="{}"),
    Column("grants", Text, nullable=False, server_default="{}"),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    ForeignKeyConstraint(["app", "release"], ["releases.app", "releases.digest"]),
    _unique_name("uq_instances_app_fleet", "app", "fleet"),
)
deployments = _table(
    "deployments",
    Column("deployment", _ID, primary_key=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False, index=True),
    Column("app", _ID, ForeignKey("apps.app"), nullable=False),
    Column("instance", _ID, ForeignKey("instances.instance"), nullable=False),
    Column("fleet", _ID, ForeignKey("fleets.fleet"), nullable=False),
    Column("release", _DIGEST, nullable=False),
    Column("variables", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("by", String(63), nullable=False),
)
targets = _table(
    "targets",
    Column("deployment", _ID, ForeignKey("deployments.deployment"), primary_key=True),
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("era", BigInteger),
    Column("generation", BigInteger),
    Column("section", _DIGEST, nullable=False),
    Index("ix_targets_open", "device", sqlite_where=_NOT_ISSUED, postgresql_where=_NOT_ISSUED),
)
due = _table("due", Column("device", _ID, ForeignKey("devices.device"), primary_key=True))
desired = _table(
    "desired",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("era", BigInteger, primary_key=True),
    Column("generation", BigInteger, primary_key=True),
    Column("digest", _DIGEST, nullable=False),
    Column("content", _DIGEST, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("store", String(64), nullable=False),
    Column("sent_ms", BigInteger),
    Index("ix_desired_unsent", "device", sqlite_where=_UNSENT, postgresql_where=_UNSENT),
)
presence = _table(
    "presence",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("boot", String(32)),
    Column("count", BigInteger),
    Column("n", BigInteger, nullable=False),
    Column("online", Boolean, nullable=False, index=True),
    Column("last_seen_ms", BigInteger),
    Column("birth", LargeBinary),
    Column("boots", Text, nullable=False),
    Column("contested", Boolean, nullable=False),
    Column("accepted_era", BigInteger),
    Column("accepted_generation", BigInteger),
    Column("accepted_digest", _DIGEST),
    Column("reported_era", BigInteger, nullable=False),
    Column("reported_generation", BigInteger, nullable=False),
    Column("sync_n", BigInteger, nullable=False),
)
status = _table(
    "status",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("boot", String(32), nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)
batches = _table(
    "batches",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("stream", String(80), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("format", String(64), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("gaps", Text, nullable=False),
    Column("at_boot", String(32), nullable=False),
    Column("at_mono_ms", BigInteger, nullable=False),
    Column("at_wall_ms", BigInteger, nullable=False),
    Column("at_clock", String(16), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("arrival", BigInteger, nullable=False),
    Index("uq_batches_arrival", "arrival", unique=True),
    Index("ix_batches_device_received_ms", "device", "received_ms"),
)
expired = _table(
    "expired",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("stream", String(80), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("ranges", Text, nullable=False),
    Column("before_ms", BigInteger, nullable=False),
)
cursors = _table(
    "cursors",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("stream", String(80), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("contiguous", BigInteger, nullable=False),
    Column("ranges", Text, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("gaps", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
gaps = _table(
    "gaps",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("stream", String(80), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False),
    Column("cause", String(64), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)
sinks = _table(
    "sinks",
    Column("name", String(63), primary_key=True),
    Column("cursor", String(64), nullable=False),
    Column("error", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
replies = _table(
    "replies",
    Column("device", _ID, ForeignKey("devices.device"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("about", Text, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)
commands = _table(
    "commands",
    Column("number", Integer, primary_key=True),
    Column("command", _ID, nullable=False),
    Column("request", _ID, nullable=False, index=True),
    Column("org", _ID, ForeignKey("orgs.org"), nullable=False, index=True),
    Column("device", _ID, ForeignKey("devices.device"), nullable=False, index=True),
    Column("instance", _ID),
    Column("verb", String(64), nullable=False),
    Column("args", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("by", String(63), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("ttl_s", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("conn_boot", String(32)),
    Column("conn_count", BigInteger),
    Column("counter", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("sent_ms", BigInteger),
    Column("due_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    Column("reason", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Index("uq_commands_command", "command", unique=True),
    Index("ix_commands_open", "device", "number", sqlite_where=_COMMAND_OPEN, postgresql_where=_COMMAND_OPEN),
)
audit = _table(
    "audit",
    Column("id", Integer, primary_key=True),
    Column("org", _ID, nullable=False, index=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("by", String(63), nullable=False),
    Column("action", String(63), nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
