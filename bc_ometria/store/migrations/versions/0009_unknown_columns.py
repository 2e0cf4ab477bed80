"""The columns that Blue Cherry serves and nothing reads."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "bc_ometria"


def upgrade() -> None:
    op.create_table(
        "unknown_columns",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("resource", "name"),
        schema=SCHEMA,
        comment="columns that Blue Cherry serves and nothing reads; each is told of once",
    )


def downgrade() -> None:
    op.drop_table("unknown_columns", schema=SCHEMA)
