"""The tables, in a PostgreSQL schema of their own. Alembic migrations in ``migrations/`` create them."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)

SCHEMA = "bc_ometria"
metadata = MetaData(schema=SCHEMA)


def _texts(names: str) -> list[Column]:
    return [Column(name, Text, nullable=False) for name in names.split()]


def _integers(names: str) -> list[Column]:
    return [Column(name, BigInteger, nullable=False) for name in names.split()]


def _local_times(names: str) -> list[Column]:
    """The tenant's local time, as Blue Cherry stamps it; NULL where it is blank there."""
    return [Column(name, DateTime(timezone=False)) for name in names.split()]


def _instant(name: str, **options: object) -> Column:
    return Column(name, DateTime(timezone=True), **options)  # type: ignore[arg-type]


def _mirror(
    resource: str, *parts: Column | Index, reference: str | None = "ord_num", buckets: bool = False, keys: str = ""
) -> Table:
    """Rows of one resource as last seen: one per ``pkey``, or per ``pkey`` and size bucket.

    ``reference`` names the order or customer that a row belongs to. A row of the catalogue belongs to none: it is
    found by ``keys``, and of several with the same the newest counts. ``row_hash`` tells whether Blue Cherry's row,
    all its buckets together, has changed.
    """
    name = f"blue_cherry_{resource}"
    indexes = (
        [Index(f"{name}_{reference}", reference), Index(f"{name}_last_mod", "last_mod")]
        if reference
        else [Index(f"{name}_newest", *keys.split(), "last_mod", "pkey")]
    )
    bucket_columns = [
        Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
        Column("quantity", Integer, nullable=False),
        Column("total_qty", Integer, nullable=False),
    ]
    return Table(
        name,
        metadata,
        Column("pkey", BigInteger, primary_key=True, autoincrement=False),
        *(bucket_columns if buckets else []),
        Column("last_mod", DateTime(timezone=False), nullable=False),
        Column("row_hash", BigInteger, nullable=False),
        *parts,
        *indexes,
        info={"reference": reference, "buckets": buckets, "keys": keys.split()},
    )


_SKU = "style color_code lbl_code dimension"
_ADDRESSES = "ship_city ship_state ship_zipcode ship_country bill_city bill_state bill_zipcode bill_country"

MIRROR: dict[str, Table] = {
    "customers": _mirror(
        "customers",
        *_texts("customer active_ok division first_name last_name email phone gender country language"),
        *_texts("email_ok sms_ok loyalty_num loyalty_tier merged_into erased_ok"),
        *_local_times("birth_date consent_date create_date"),
        Index("blue_cherry_customers_email", text("lower(email)")),
        Index("blue_cherry_customers_merged", "merged_into", postgresql_where=text("merged_into <> ''")),
        reference="customer",
    ),
    "addresses": _mirror(
        "addresses",
        *_texts("customer store store_name address1 address2 address3 address4 city state zipcode country"),
        *_texts("default_ok active_ok"),
        reference="customer",
    ),
    "orders": _mirror(
        "orders",
        *_texts("ord_num division customer store ord_status hold_code cancel_code ord_type ref_num2"),
        *_texts("aux_ref_num currency email first_name last_name phone pay_method ship_via promo_code"),
        *_texts(_ADDRESSES),
        *_integers("sub_total disc_amt frt_amt tax_amt ord_total"),
        *_local_times("ord_date"),
    ),
    "order_lines": _mirror(
        "order_lines",
        *_texts(f"ord_num division {_SKU} location season"),
        *_integers("fkey line_num unit_price line_disc line_tax"),
        Index("blue_cherry_order_lines_style", "style", "division"),
        buckets=True,
    ),
    "order_stages": _mirror(
        "order_stages",
        *_texts("ord_num rec_type location"),
        *_integers("fkey"),
        *_local_times("trans_date"),
        buckets=True,
    ),
    "shipments": _mirror(
        "shipments",
        *_texts("ship_num ord_num division location ship_via tracking void_ok"),
        *_local_times("ship_date"),
    ),
    "shipment_lines": _mirror(
        "shipment_lines", *_texts(f"ord_num division {_SKU}"), *_integers("fkey line_num"), buckets=True
    ),
    "returns": _mirror(
        "returns",
        *_texts("ret_num ord_num division reason_code void_ok"),
        *_integers("refund_total"),
        *_local_times("ret_date"),
    ),
    "return_lines": _mirror(
        "return_lines",
        *_texts(f"ord_num division {_SKU}"),
        *_integers("fkey line_num refund_amt"),
        buckets=True,
    ),
    "styles": _mirror(
        "styles",
        *_texts("division style style_name category gender size_code currency url image_url active_ok"),
        *_integers("price"),
        reference=None,
        keys="style division",
    ),
    "style_colors": _mirror(
        "style_colors",
        *_texts("division style color_code color_name active_ok"),
        reference=None,
        keys="style color_code division",
    ),
    "sizes": _mirror(
        "sizes",
        *_texts("size_code"),
        *_texts(" ".join(f"sz{bucket:02}" for bucket in range(1, 25))),
        reference=None,
        keys="size_code",
    ),
    "upcs": _mirror(
        "upcs",
        *_texts("division style color_code dimension upc"),
        *_integers("bucket"),
        reference=None,
        keys="style color_code bucket division dimension",
    ),
}
"""The mirror's table of each resource; money in minor units."""

held_rows = Table(
    "blue_cherry_held_rows",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("row_key", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("reference", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("masked", Text, nullable=False),
    _instant("seen_at", nullable=False, server_default=func.now()),
    Index("blue_cherry_held_rows_reference", "reference"),
    comment="rows whose newest version is malformed: the mirror keeps their last good one",
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("stamp", DateTime(timezone=False), nullable=False),
    _instant("moved_at", nullable=False, server_default=func.now()),
    comment="the newest change stamp of each resource whose rows are committed, the tenant's local time",
)

touched = Table(
    "touched",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at", BigInteger, Identity(always=True), nullable=False),
    _instant("seen_at", nullable=False, server_default=func.now()),
    comment="orders and customers of which a row changed, until they are assembled and mapped again",
)

to_refresh = Table(
    "to_refresh",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at", BigInteger, Identity(always=True), nullable=False),
    _instant("asked_at", nullable=False, server_default=func.now()),
    comment="orders and customers that somebody named, until they are read again whole",
)

sales_orders = Table(
    "sales_orders",
    metadata,
    Column("ord_num", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("changed_at", DateTime(timezone=False)),
    Column("placed_at", DateTime(timezone=False)),
    _instant("seen_at"),
    _instant("assembled_at", nullable=False, server_default=func.now()),
    Column("mapped_version", Text),
    Index("sales_orders_customer", "customer"),
    Index(
        "sales_orders_unmapped",
        "ord_num",
        postgresql_where=text("mapped_version IS DISTINCT FROM version"),
    ),
    comment="one document per order; mapped_version is the version the outbox knows",
)

vanished_orders = Table(
    "vanished_orders",
    metadata,
    Column("ord_num", Text, primary_key=True),
    _instant("noticed_at", nullable=False, server_default=func.now()),
    comment="orders of which Blue Cherry serves nothing any more; sales_orders keeps them as they were last known",
)

outbox = Table(
    "outbox",
    metadata,
    Column("record_type", Text, primary_key=True),
    Column("record_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("lane", Text, nullable=False, server_default="live"),
    Column("payload", Text),
    Column("wanted_version", Text),
    Column("in_flight_version", Text),
    Column("sent_version", Text),
    Column("proved_version", Text),
    Column("approved_version", Text),
    Column("repaired_version", Text),
    Column("standing", Text, nullable=False, server_default=""),
    Column("sent_standing", Text),
    Column("address", Text),
    Column("addresses", ARRAY(Text)),
    Column("following", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _instant("next_attempt", nullable=False, server_default=func.now()),
    _instant("leased_until"),
    Column("request_id", Text),
    _instant("changed_at"),
    _instant("seen_at"),
    _instant("queued_at", nullable=False, server_default=func.now()),
    _instant("accepted_at"),
    _instant("confirmed_at"),
    Index(
        "outbox_due",
        "lane",
        "record_type",
        "next_attempt",
        "record_id",
        postgresql_where=text("state = 'wanted'"),
    ),
    Index(
        "outbox_changing",
        "lane",
        "record_type",
        "standing",
        "sent_standing",
        postgresql_where=text(
            "state = 'wanted' AND sent_standing IS NOT NULL AND approved_version IS DISTINCT FROM wanted_version"
        ),
    ),
    Index(
        "outbox_events_sent",
        "accepted_at",
        postgresql_where=text("record_type = 'custom_event' AND accepted_at IS NOT NULL"),
    ),
    Index(
        "outbox_moving",
        "record_id",
        postgresql_where=text(
            "record_type = 'contact' AND state IN ('wanted', 'sent') AND addresses <> ARRAY[address]"
        ),
    ),
    Index("outbox_unproved", "record_type", "accepted_at", postgresql_where=text("state = 'sent'")),
    Index(
        "outbox_withheld",
        "record_type",
        "reason",
        postgresql_where=text("state IN ('held', 'drift')"),
    ),
    comment="one row per Ometria record: the payload that should be there, and what was proved about it",
)

order_events = Table(
    "order_events",
    metadata,
    Column("record_id", Text, primary_key=True),
    Column("ord_num", Text, nullable=False),
    Column("customer", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("covers", Text, nullable=False),
    _instant("happened_at", nullable=False),
    _instant("enters_until", nullable=False),
    Column("at", BigInteger, Identity(always=True), nullable=False),
    Index("order_events_ord_num", "ord_num"),
    Index("order_events_customer", "customer"),
    comment="what the custom events of the outbox tell; each goes after its order, its contact and those before it",
)

call_budget = Table(
    "call_budget",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("taken", ARRAY(DateTime(timezone=True)), nullable=False, server_default="{}"),
    _instant("closed_until"),
    comment="when the latest calls of each kind were made by any process, and until when none may be",
)

ometria_account = Table(
    "ometria_account",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("queue_limit", Integer),
    Column("queue_remaining", Integer),
    _instant("queue_seen_at"),
    Column("refusal", Text),
    _instant("refused_at"),
    _instant("push_lost_at"),
    Column("errors_seen", Text),
    _instant("unsubscribes_read_at"),
    _instant("unsubscribes_failed_at"),
    comment="what Ometria last said of its queue and of the key, since when a push has been without an answer, and the "
    "errors ring as it was last read",
)

lane_stops = Table(
    "lane_stops",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("lane", Text, nullable=False),
    Column("record_type", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("records", Integer, nullable=False),
    _instant("stopped_at", nullable=False, server_default=func.now()),
    _instant("ended_at"),
    Column("ended_by", Text),
    Index(
        "lane_stops_open",
        "lane",
        "record_type",
        "cause",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
    comment="lanes of which nothing is sent: paused by a person, or stopped by the guard until a person approves",
)

extracts = Table(
    "extracts",
    metadata,
    Column("resource", Text, primary_key=True),
    _instant("at", primary_key=True, server_default=func.clock_timestamp()),
    Column("rows", Integer, nullable=False),
    Column("known_rows", Integer, nullable=False),
    comment="how many rows each reading of what is new gave, and how many of the same window the mirror knew before",
)

unsubscribes = Table(
    "unsubscribes",
    metadata,
    Column("email", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    _instant("at", nullable=False),
    Index("unsubscribes_at", "at"),
    comment="when people last opted out at Ometria, by address in small letters; never by our own doing",
)

customer_unsubscribes = Table(
    "customer_unsubscribes",
    metadata,
    Column("customer", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    _instant("at", nullable=False),
    comment="the same by customer, so that an opt-out outlives the address by which it was known",
)

merges = Table(
    "merges",
    metadata,
    Column("merged", Text, primary_key=True),
    Column("survivor", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("job_id", Text),
    Column("calls", Integer, nullable=False, server_default="0"),
    _instant("wanted_at", nullable=False, server_default=func.now()),
    _instant("asked_at"),
    _instant("settled_at"),
    _instant("next_attempt", nullable=False, server_default=func.now()),
    Index("merges_open", "next_attempt", postgresql_where=text("state <> 'done'")),
    comment="customers that Blue Cherry merged into another one, and how far Ometria is with it",
)

live_since = Table(
    "live_since",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    _instant("at", nullable=False, server_default=func.now()),
    comment="since when this store follows Blue Cherry: what happened before is history, and starts no journey",
)

exceptions = Table(
    "exceptions",
    metadata,
    Column("code", Text, primary_key=True),
    Column("record_type", Text, primary_key=True),
    Column("record_id", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("detail", Text, nullable=False),
    Column("division", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    _instant("first_seen", nullable=False, server_default=func.now()),
    _instant("last_seen", nullable=False, server_default=func.now()),
    Column("times_seen", Integer, nullable=False, server_default="1"),
    Column("is_open", Boolean, nullable=False, server_default=text("true")),
    Column("is_mended", Boolean, nullable=False, server_default=text("false")),
    _instant("closed_at"),
    Column("closed_by", Text),
    Index("exceptions_open", "record_type", "code", postgresql_where=text("is_open")),
    Index("exceptions_of_record", "record_type", "record_id"),
    comment="why a record is held, or what people should know about it; value in minor units",
)

unknown_columns = Table(
    "unknown_columns",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    _instant("first_seen", nullable=False, server_default=func.now()),
    comment="columns that Blue Cherry serves and nothing reads; each is told of once",
)

exception_codes = Table(
    "exception_codes",
    metadata,
    Column("code", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("wait_min", Integer, nullable=False),
    Column("lasts_h", Integer),
    Column("meaning", Text, nullable=False),
    comment="what the rules in force say of each exception code",
)

OPEN_EXCEPTIONS = f"{SCHEMA}.open_exceptions"
"""View of what is open and not mended, with the owner, the events it blocks, and whether it still waits: younger than
the code's ``wait_min`` it is not yet an exception."""

BLOCKED_EVENTS = f"{SCHEMA}.blocked_events"
"""View of the events that wait for each open exception: for that of their order, of their contact, or their own."""

rules_in_force = Table(
    "rules_in_force",
    metadata,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("version", Text, nullable=False),
    comment="the rules that every record was last mapped with",
)
