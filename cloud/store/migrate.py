"""Brings a database to the newest schema, at every start."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from broker.errors import Refused
from cloud.store.database import Database


def migrate(database: Database) -> None:
    """Apply what is missing; raise `Refused` when a newer Skerry has made this database."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    with database.engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            heads = ", ".join(ScriptDirectory.from_config(config).get_heads())
            raise Refused("newer_database", f"this database is newer than this program ({heads}): {error}") from error
