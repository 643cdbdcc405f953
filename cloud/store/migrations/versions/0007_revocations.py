"""Which certificates are revoked, and which devices are being retired."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('revocations',
    sa.Column('serial', sa.String(length=48), nullable=False),
    sa.Column('device', sa.String(length=12), nullable=False),
    sa.Column('revoked_ms', sa.BigInteger(), nullable=False),
    sa.Column('settled', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['device'], ['devices.device'], name=op.f('fk_revocations_device')),
    sa.PrimaryKeyConstraint('serial', name=op.f('pk_revocations'))
    )
    with op.batch_alter_table('revocations', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_revocations_device'), ['device'], unique=False)
    op.add_column('devices', sa.Column('retire', sa.String(length=16), nullable=True))


def downgrade() -> None:
    op.drop_table('revocations')
    op.drop_column('devices', 'retire')
