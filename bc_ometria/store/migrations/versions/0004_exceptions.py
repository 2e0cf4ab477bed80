"""What closed an exception, what the rules say of its code, and what is open now with the events it blocks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BLOCKED_EVENTS = """
CREATE VIEW bc_ometria.blocked_events AS
SELECT e.code, e.record_type, e.record_id, e.field, w.event_id, w.event_type
FROM (
    SELECT v.record_id AS event_id, v.event_type, o.reason, of_event.record_type, of_event.record_id
    FROM bc_ometria.outbox o
    JOIN bc_ometria.order_events v ON v.record_id = o.record_id
    CROSS JOIN LATERAL (
        VALUES ('order', v.ord_num), ('contact', v.customer), ('custom_event', v.record_id)
    ) AS of_event (record_type, record_id)
    WHERE o.record_type = 'custom_event' AND (o.state = 'wanted' OR o.state = 'held' AND o.reason <> 'event_too_late')
) w
JOIN bc_ometria.exceptions e ON e.record_type = w.record_type AND e.record_id = w.record_id
LEFT JOIN bc_ometria.exception_codes c ON c.code = e.code
WHERE e.is_open AND NOT e.is_mended AND (c.severity IS DISTINCT FROM 'report' OR w.reason = e.code)
"""
"""Set out from the events that wait, which are few; one that is too late waits for nothing. A code that only reports
keeps nothing back but the events that are held for it; one that no rule knows is taken for one that holds."""

OPEN_EXCEPTIONS = """
CREATE VIEW bc_ometria.open_exceptions AS
SELECT e.code, c.owner, c.severity, e.record_type, e.record_id, e.field, e.detail, e.division, e.value, e.currency,
    e.first_seen, e.last_seen, e.times_seen, b.blocked_events,
    coalesce(e.first_seen + make_interval(mins => c.wait_min) > now(), false) AS is_waiting
FROM bc_ometria.exceptions e
LEFT JOIN bc_ometria.exception_codes c ON c.code = e.code
CROSS JOIN LATERAL (
    SELECT count(*) AS blocked_events
    FROM (
        SELECT record_id FROM bc_ometria.order_events WHERE e.record_type = 'order' AND ord_num = e.record_id
        UNION ALL
        SELECT record_id FROM bc_ometria.order_events WHERE e.record_type = 'contact' AND customer = e.record_id
        UNION ALL
        SELECT record_id FROM bc_ometria.order_events WHERE e.record_type = 'custom_event' AND record_id = e.record_id
    ) v
    JOIN bc_ometria.outbox o ON o.record_type = 'custom_event' AND o.record_id = v.record_id
    WHERE (o.state = 'wanted' OR o.state = 'held' AND o.reason <> 'event_too_late')
        AND (c.severity IS DISTINCT FROM 'report' OR o.reason = e.code)
) b
WHERE e.is_open AND NOT e.is_mended
"""
"""Counts the same events as the other view, exception by exception and by index: a plan that joined the two would be
chosen by statistics, which a table that was just filled does not have yet."""


def upgrade() -> None:
    op.add_column("exceptions", sa.Column("closed_by", sa.Text(), nullable=True), schema="bc_ometria")
    op.create_table(
        "exception_codes",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("wait_min", sa.Integer(), nullable=False),
        sa.Column("lasts_h", sa.Integer(), nullable=True),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code"),
        schema="bc_ometria",
        comment="what the rules in force say of each exception code",
    )
    op.execute(BLOCKED_EVENTS)
    op.execute(OPEN_EXCEPTIONS)


def downgrade() -> None:
    op.execute("DROP VIEW bc_ometria.open_exceptions")
    op.execute("DROP VIEW bc_ometria.blocked_events")
    op.drop_table("exception_codes", schema="bc_ometria")
    op.drop_column("exceptions", "closed_by", schema="bc_ometria")
