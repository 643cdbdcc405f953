"""Machines that ask to become devices, and which tokens need somebody's approval."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('enrollments',
    sa.Column('request', sa.String(length=12), nullable=False),
    sa.Column('org', sa.String(length=12), nullable=False),
    sa.Column('fleet', sa.String(length=12), nullable=False),
    sa.Column('enroll_token', sa.String(length=64), nullable=False),
    sa.Column('tls_key', sa.String(length=64), nullable=False),
    sa.Column('identity_key', sa.LargeBinary(), nullable=False),
    sa.Column('name', sa.String(length=63), nullable=True),
    sa.Column('serial', sa.String(length=64), nullable=False),
    sa.Column('host', sa.Text(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('by', sa.String(length=63), nullable=False),
    sa.ForeignKeyConstraint(['org'], ['orgs.org'], name=op.f('fk_enrollments_org')),
    sa.ForeignKeyConstraint(['fleet'], ['fleets.fleet'], name=op.f('fk_enrollments_fleet')),
    sa.PrimaryKeyConstraint('request', name=op.f('pk_enrollments'))
    )
    with op.batch_alter_table('enrollments', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_enrollments_org'), ['org'], unique=False)
        batch_op.create_index('uq_enrollments_key', ['enroll_token', 'tls_key'], unique=True)
    op.add_column('enroll_tokens', sa.Column('needs_approval', sa.Boolean(), nullable=False, server_default='0'))
    op.add_column('enroll_tokens', sa.Column('serials', sa.Text(), nullable=False, server_default='[]'))


def downgrade() -> None:
    op.drop_table('enrollments')
    op.drop_column('enroll_tokens', 'needs_approval')
    op.drop_column('enroll_tokens', 'serials')
