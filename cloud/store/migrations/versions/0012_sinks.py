"""How far sinks are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'sinks',
        sa.Column('name', sa.String(length=63), nullable=False),
        sa.Column('cursor', sa.String(length=64), nullable=False),
        sa.Column('error', sa.Text(), nullable=False),
        sa.Column('at_ms', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('pk_sinks')),
    )


def downgrade() -> None:
    op.drop_table('sinks')
