"""A new e-mail address in several payloads, merged customers, and that the unsubscribes could not be read."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "bc_ometria"
INSTANT = sa.DateTime(timezone=True)
_MOVING = "record_type = 'contact' AND state IN ('wanted', 'sent') AND addresses <> ARRAY[address]"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("address", sa.Text()), schema=SCHEMA)
    op.add_column("outbox", sa.Column("addresses", sa.ARRAY(sa.Text())), schema=SCHEMA)
    op.add_column("outbox", sa.Column("following", sa.Text()), schema=SCHEMA)
    # What was sent before is known under some address: the next change of a contact begins with it.
    op.execute(
        f"UPDATE {SCHEMA}.outbox SET addresses = '{{}}' WHERE record_type = 'contact' AND accepted_at IS NOT NULL"
    )
    op.create_index("outbox_moving", "outbox", ["record_id"], schema=SCHEMA, postgresql_where=sa.text(_MOVING))
    op.create_index(
        "blue_cherry_customers_merged",
        "blue_cherry_customers",
        ["merged_into"],
        schema=SCHEMA,
        postgresql_where=sa.text("merged_into <> ''"),
    )
    op.create_table(
        "merges",
        sa.Column("merged", sa.Text(), nullable=False),
        sa.Column("survivor", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text()),
        sa.Column("calls", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wanted_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("asked_at", INSTANT),
        sa.Column("settled_at", INSTANT),
        sa.Column("next_attempt", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("merged"),
        schema=SCHEMA,
        comment="customers that Blue Cherry merged into another one, and how far Ometria is with it",
    )
    op.create_index(
        "merges_open", "merges", ["next_attempt"], schema=SCHEMA, postgresql_where=sa.text("state <> 'done'")
    )
    op.add_column("ometria_account", sa.Column("unsubscribes_failed_at", INSTANT), schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("ometria_account", "unsubscribes_failed_at", schema=SCHEMA)
    op.drop_table("merges", schema=SCHEMA)
    op.drop_index("blue_cherry_customers_merged", table_name="blue_cherry_customers", schema=SCHEMA)
    op.drop_index("outbox_moving", table_name="outbox", schema=SCHEMA)
    for name in ("following", "addresses", "address"):
        op.drop_column("outbox", name, schema=SCHEMA)
