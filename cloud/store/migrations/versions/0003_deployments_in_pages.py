"""Deployments in pages: targets that nothing was issued to yet, devices that are due, settings of instances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('due',
    sa.Column('device', sa.String(length=12), nullable=False),
    sa.ForeignKeyConstraint(['device'], ['devices.device'], name=op.f('fk_due_device')),
    sa.PrimaryKeyConstraint('device', name=op.f('pk_due'))
    )
    with op.batch_alter_table('instances', schema=None) as batch_op:
        batch_op.add_column(sa.Column('settings', sa.Text(), server_default='{}', nullable=False))

    with op.batch_alter_table('targets', schema=None) as batch_op:
        batch_op.alter_column('era', existing_type=sa.BigInteger(), nullable=True)
        batch_op.alter_column('generation', existing_type=sa.BigInteger(), nullable=True)
        batch_op.create_index('ix_targets_open', ['device'], unique=False, sqlite_where=sa.text('generation IS NULL'), postgresql_where=sa.text('generation IS NULL'))


def downgrade() -> None:
    with op.batch_alter_table('targets', schema=None) as batch_op:
        batch_op.drop_index('ix_targets_open', sqlite_where=sa.text('generation IS NULL'), postgresql_where=sa.text('generation IS NULL'))
        batch_op.alter_column('generation', existing_type=sa.BigInteger(), nullable=False)
        batch_op.alter_column('era', existing_type=sa.BigInteger(), nullable=False)

    with op.batch_alter_table('instances', schema=None) as batch_op:
        batch_op.drop_column('settings')

    op.drop_table('due')
