"""How long an organisation keeps what devices send, and what was dropped because of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('orgs', sa.Column('keep_days', sa.Integer(), nullable=True))
    op.create_index('ix_batches_device_received_ms', 'batches', ['device', 'received_ms'], unique=False)
    op.create_table(
        'expired',
        sa.Column('device', sa.String(length=12), nullable=False),
        sa.Column('stream', sa.String(length=80), nullable=False),
        sa.Column('epoch', sa.BigInteger(), nullable=False),
        sa.Column('ranges', sa.Text(), nullable=False),
        sa.Column('before_ms', sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(['device'], ['devices.device'], name=op.f('fk_expired_device')),
        sa.PrimaryKeyConstraint('device', 'stream', 'epoch', name=op.f('pk_expired')),
    )


def downgrade() -> None:
    op.drop_table('expired')
    op.drop_index('ix_batches_device_received_ms', table_name='batches')
    op.drop_column('orgs', 'keep_days')
