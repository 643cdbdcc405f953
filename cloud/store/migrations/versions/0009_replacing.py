"""Machines that were approved to take a device's place."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('enrollments', sa.Column('replaces', sa.String(length=12), nullable=True))


def downgrade() -> None:
    op.drop_column('enrollments', 'replaces')
