"""The outbox of commands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('commands',
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('command', sa.String(length=12), nullable=False),
    sa.Column('request', sa.String(length=12), nullable=False),
    sa.Column('org', sa.String(length=12), nullable=False),
    sa.Column('device', sa.String(length=12), nullable=False),
    sa.Column('instance', sa.String(length=12), nullable=True),
    sa.Column('verb', sa.String(length=64), nullable=False),
    sa.Column('args', sa.Text(), nullable=False),
    sa.Column('created_ms', sa.BigInteger(), nullable=False),
    sa.Column('by', sa.String(length=63), nullable=False),
    sa.Column('until_ms', sa.BigInteger(), nullable=False),
    sa.Column('ttl_s', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('conn_boot', sa.String(length=32), nullable=True),
    sa.Column('conn_count', sa.BigInteger(), nullable=True),
    sa.Column('counter', sa.BigInteger(), nullable=True),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.Column('sent_ms', sa.BigInteger(), nullable=True),
    sa.Column('due_ms', sa.BigInteger(), nullable=False),
    sa.Column('finished_ms', sa.BigInteger(), nullable=True),
    sa.Column('reason', sa.String(length=64), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['device'], ['devices.device'], name=op.f('fk_commands_device')),
    sa.ForeignKeyConstraint(['org'], ['orgs.org'], name=op.f('fk_commands_org')),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_commands'))
    )
    op.create_index(op.f('ix_commands_device'), 'commands', ['device'], unique=False)
    op.create_index('ix_commands_open', 'commands', ['device', 'number'], unique=False, sqlite_where=sa.text("state IN ('waiting', 'sent')"), postgresql_where=sa.text("state IN ('waiting', 'sent')"))
    op.create_index(op.f('ix_commands_org'), 'commands', ['org'], unique=False)
    op.create_index(op.f('ix_commands_request'), 'commands', ['request'], unique=False)
    op.create_index('uq_commands_command', 'commands', ['command'], unique=True)


def downgrade() -> None:
    op.drop_index('uq_commands_command', table_name='commands')
    op.drop_index(op.f('ix_commands_request'), table_name='commands')
    op.drop_index(op.f('ix_commands_org'), table_name='commands')
    op.drop_index('ix_commands_open', table_name='commands', sqlite_where=sa.text("state IN ('waiting', 'sent')"), postgresql_where=sa.text("state IN ('waiting', 'sent')"))
    op.drop_index(op.f('ix_commands_device'), table_name='commands')
    op.drop_table('commands')
