"""Secrets, sealed to the vault and to devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'secrets',
        sa.Column('app', sa.String(length=12), nullable=False),
        sa.Column('name', sa.String(length=63), nullable=False),
        sa.Column('version', sa.BigInteger(), nullable=False),
        sa.Column('fleet', sa.String(length=12), nullable=True),
        sa.Column('pinned', sa.Boolean(), nullable=False),
        sa.Column('sealed', sa.LargeBinary(), nullable=False),
        sa.Column('created_ms', sa.BigInteger(), nullable=False),
        sa.Column('by', sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(['app'], ['apps.app'], name=op.f('fk_secrets_app')),
        sa.ForeignKeyConstraint(['fleet'], ['fleets.fleet'], name=op.f('fk_secrets_fleet')),
        sa.PrimaryKeyConstraint('app', 'name', 'version', name=op.f('pk_secrets')),
    )
    op.create_table(
        'seals',
        sa.Column('device', sa.String(length=12), nullable=False),
        sa.Column('app', sa.String(length=12), nullable=False),
        sa.Column('name', sa.String(length=63), nullable=False),
        sa.Column('version', sa.BigInteger(), nullable=False),
        sa.Column('key_number', sa.Integer(), nullable=False),
        sa.Column('sealed', sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(['app'], ['apps.app'], name=op.f('fk_seals_app')),
        sa.ForeignKeyConstraint(['device'], ['devices.device'], name=op.f('fk_seals_device')),
        sa.PrimaryKeyConstraint('device', 'app', 'name', name=op.f('pk_seals')),
    )


def downgrade() -> None:
    op.drop_table('seals')
    op.drop_table('secrets')
