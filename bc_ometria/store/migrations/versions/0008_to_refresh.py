"""The orders and customers that somebody asked to have read again."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "bc_ometria"


def upgrade() -> None:
    op.create_table(
        "to_refresh",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("kind", "key"),
        schema=SCHEMA,
        comment="orders and customers that somebody named, until they are read again whole",
    )


def downgrade() -> None:
    op.drop_table("to_refresh", schema=SCHEMA)
