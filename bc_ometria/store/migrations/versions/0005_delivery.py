"""What delivery needs to know: lanes and their stops, one budget of calls for all processes, what was approved and
repaired, and when a change was seen."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "bc_ometria"
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column("lane", sa.Text(), nullable=False, server_default="live"),
        sa.Column("approved_version", sa.Text()),
        sa.Column("repaired_version", sa.Text()),
        sa.Column("standing", sa.Text(), nullable=False, server_default=""),
        sa.Column("sent_standing", sa.Text()),
        sa.Column("seen_at", INSTANT),
    ):
        op.add_column("outbox", column, schema=SCHEMA)
    op.add_column("touched", sa.Column("seen_at", INSTANT, nullable=False, server_default=sa.func.now()), schema=SCHEMA)
    op.add_column("sales_orders", sa.Column("seen_at", INSTANT), schema=SCHEMA)
    op.drop_index("outbox_waiting", "outbox", schema=SCHEMA)
    op.create_index(
        "outbox_due",
        "outbox",
        ["lane", "record_type", "next_attempt", "record_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'wanted'"),
    )
    op.create_index(
        "outbox_changing",
        "outbox",
        ["lane", "record_type", "standing", "sent_standing"],
        schema=SCHEMA,
        postgresql_where=sa.text(
            "state = 'wanted' AND sent_standing IS NOT NULL AND approved_version IS DISTINCT FROM wanted_version"
        ),
    )
    op.create_index(
        "outbox_events_sent",
        "outbox",
        ["accepted_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("record_type = 'custom_event' AND accepted_at IS NOT NULL"),
    )
    op.create_table(
        "call_budget",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("taken", postgresql.ARRAY(INSTANT), nullable=False, server_default="{}"),
        sa.Column("closed_until", INSTANT),
        sa.PrimaryKeyConstraint("kind"),
        schema=SCHEMA,
        comment="when the latest calls of each kind were made by any process, and until when none may be",
    )
    op.create_table(
        "ometria_account",
        sa.Column("only_row", sa.Boolean(), nullable=False, server_default=sa.text("true")),
        sa.Column("queue_limit", sa.Integer()),
        sa.Column("queue_remaining", sa.Integer()),
        sa.Column("queue_seen_at", INSTANT),
        sa.Column("refusal", sa.Text()),
        sa.Column("refused_at", INSTANT),
        sa.Column("push_lost_at", INSTANT),
        sa.Column("errors_seen", sa.Text()),
        sa.PrimaryKeyConstraint("only_row"),
        schema=SCHEMA,
        comment="what Ometria last said of its queue and of the key, since when a push has been without an answer, and "
        "the errors ring as it was last read",
    )
    op.create_table(
        "lane_stops",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("record_type", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("stopped_at", INSTANT, nullable=False, server_default=sa.func.now()),
        sa.Column("ended_at", INSTANT),
        sa.Column("ended_by", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
        schema=SCHEMA,
        comment="lanes of which nothing is sent: paused by a person, or stopped by the guard until a person approves",
    )
    op.create_index(
        "lane_stops_open",
        "lane_stops",
        ["lane", "record_type", "cause"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "extracts",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False, server_default=sa.func.clock_timestamp()),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("known_rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("resource", "at"),
        schema=SCHEMA,
        comment="how many rows each reading of what is new gave, and how many of the same window the mirror knew "
        "before",
    )


def downgrade() -> None:
    for table in ("extracts", "lane_stops", "ometria_account", "call_budget"):
        op.drop_table(table, schema=SCHEMA)
    op.drop_index("outbox_events_sent", "outbox", schema=SCHEMA)
    op.drop_index("outbox_changing", "outbox", schema=SCHEMA)
    op.drop_index("outbox_due", "outbox", schema=SCHEMA)
    op.create_index(
        "outbox_waiting",
        "outbox",
        ["record_type", "next_attempt", "record_id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'wanted'"),
    )
    op.drop_column("sales_orders", "seen_at", schema=SCHEMA)
    op.drop_column("touched", "seen_at", schema=SCHEMA)
    for column in ("seen_at", "sent_standing", "standing", "repaired_version", "approved_version", "lane"):
        op.drop_column("outbox", column, schema=SCHEMA)
