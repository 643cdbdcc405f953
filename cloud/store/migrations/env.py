"""How Alembic runs here: always on the connection that `cloud.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from cloud.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite cannot alter most things in place
)
with context.begin_transaction():
    context.run_migrations()
