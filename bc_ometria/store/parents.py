"""When a custom event may go: after its order, its contact, and the events of that order before it (P23).

SQL about the outbox row ``o`` of an event and its row ``e`` of ``order_events``. It takes one parameter,
``:parents_wait_min``: the minutes for which an event waits for Ometria to show what it has accepted.
"""

from bc_ometria.store.schema import order_events, outbox


def is_shown(parent: str) -> str:
    """Whether Ometria has the parent's newest version: read back, or taken as accepted where a sample is read back."""
    return f"{parent}.state IN ('confirmed', 'accepted')"


def is_there(parent: str) -> str:
    """Whether that is so, or Ometria accepted it and time is up. What is wanted, held or excluded is not there."""
    return (
        f"({is_shown(parent)} OR {parent}.state IN ('sent', 'drift') AND {parent}.sent_version IS NOT NULL "
        f"AND greatest(o.queued_at, {parent}.accepted_at) <= now() - make_interval(secs => 60 * :parents_wait_min))"
    )


def _has(record_type: str, key: str) -> str:
    return (
        f"EXISTS (SELECT FROM {outbox.fullname} p "
        f"WHERE p.record_type = '{record_type}' AND p.record_id = {key} AND {is_there('p')})"
    )


MAY_GO = f"""EXISTS (
    SELECT FROM {order_events.fullname} e WHERE e.record_id = o.record_id AND e.enters_until > now()
        AND {_has("order", "e.ord_num")}
        AND (e.customer = '' OR {_has("contact", "e.customer")})
        AND NOT EXISTS (
            SELECT FROM {order_events.fullname} earlier
            JOIN {outbox.fullname} p ON p.record_type = 'custom_event' AND p.record_id = earlier.record_id
            WHERE earlier.ord_num = e.ord_num AND earlier.at < e.at AND p.state = 'wanted'
        )
)"""
"""Whether the event ``o`` may go: no parent keeps it, and it can still enter a journey. A guest has no contact."""
