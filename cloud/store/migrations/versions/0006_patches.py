"""Which patches between images were made, and where they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('patches',
    sa.Column('repository', sa.String(length=255), nullable=False),
    sa.Column('image', sa.String(length=71), nullable=False),
    sa.Column('base', sa.String(length=71), nullable=False),
    sa.Column('app', sa.String(length=12), nullable=False),
    sa.Column('artifact', sa.String(length=71), nullable=False),
    sa.Column('blobs', sa.Text(), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.Column('made_ms', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['app'], ['apps.app'], name=op.f('fk_patches_app')),
    sa.PrimaryKeyConstraint('repository', 'image', 'base', name=op.f('pk_patches'))
    )
    with op.batch_alter_table('patches', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_patches_app'), ['app'], unique=False)


def downgrade() -> None:
    op.drop_table('patches')
