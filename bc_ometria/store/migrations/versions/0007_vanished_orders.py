"""Orders that were deleted in Blue Cherry."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "bc_ometria"


def upgrade() -> None:
    op.create_table(
        "vanished_orders",
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("ord_num"),
        schema=SCHEMA,
        comment="orders of which Blue Cherry serves nothing any more; sales_orders keeps them as they were last known",
    )


def downgrade() -> None:
    op.drop_table("vanished_orders", schema=SCHEMA)
