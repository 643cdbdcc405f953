"""How the link of a fleet's devices, or of one device, may be used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ('fleets', 'devices'):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column('link', sa.Text(), server_default='{}', nullable=False))


def downgrade() -> None:
    for table in ('fleets', 'devices'):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column('link')
