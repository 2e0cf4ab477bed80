"""The custom events of orders, and since when the store follows Blue Cherry."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_events",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("covers", sa.Text(), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enters_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.PrimaryKeyConstraint("record_id"),
        schema="bc_ometria",
        comment="what the custom events of the outbox tell; each goes after its order, its contact and those before it",
    )
    op.create_index("order_events_ord_num", "order_events", ["ord_num"], unique=False, schema="bc_ometria")
    op.create_index("order_events_customer", "order_events", ["customer"], unique=False, schema="bc_ometria")
    op.create_table(
        "live_since",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("only_row"),
        schema="bc_ometria",
        comment="since when this store follows Blue Cherry: what happened before is history, and starts no journey",
    )
    op.execute("INSERT INTO bc_ometria.live_since DEFAULT VALUES")


def downgrade() -> None:
    op.drop_table("live_since", schema="bc_ometria")
    op.drop_table("order_events", schema="bc_ometria")
