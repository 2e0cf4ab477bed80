"""Who opted out at Ometria, by address and by customer, and when that was last read."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "bc_ometria"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "unsubscribes",
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("email", "channel"),
        schema=SCHEMA,
        comment="when people last opted out at Ometria, by address in small letters; never by our own doing",
    )
    op.create_index("unsubscribes_at", "unsubscribes", ["at"], schema=SCHEMA)
    op.create_table(
        "customer_unsubscribes",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("customer", "channel"),
        schema=SCHEMA,
        comment="the same by customer, so that an opt-out outlives the address by which it was known",
    )
    op.create_index("blue_cherry_customers_email", "blue_cherry_customers", [sa.text("lower(email)")], schema=SCHEMA)
    op.add_column("ometria_account", sa.Column("unsubscribes_read_at", INSTANT), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("ometria_account", "unsubscribes_read_at", schema=SCHEMA)
    op.drop_index("blue_cherry_customers_email", table_name="blue_cherry_customers", schema=SCHEMA)
    op.drop_table("customer_unsubscribes", schema=SCHEMA)
    op.drop_table("unsubscribes", schema=SCHEMA)
