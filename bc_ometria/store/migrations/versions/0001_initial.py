"""The mirror, the assembled orders, the outbox and the exceptions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blue_cherry_addresses",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("store_name", sa.Text(), nullable=False),
        sa.Column("address1", sa.Text(), nullable=False),
        sa.Column("address2", sa.Text(), nullable=False),
        sa.Column("address3", sa.Text(), nullable=False),
        sa.Column("address4", sa.Text(), nullable=False),
        sa.Column("city", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("zipcode", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("default_ok", sa.Text(), nullable=False),
        sa.Column("active_ok", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_addresses_customer",
        "blue_cherry_addresses",
        ["customer"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_addresses_last_mod",
        "blue_cherry_addresses",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_customers",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("active_ok", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("email_ok", sa.Text(), nullable=False),
        sa.Column("sms_ok", sa.Text(), nullable=False),
        sa.Column("loyalty_num", sa.Text(), nullable=False),
        sa.Column("loyalty_tier", sa.Text(), nullable=False),
        sa.Column("merged_into", sa.Text(), nullable=False),
        sa.Column("erased_ok", sa.Text(), nullable=False),
        sa.Column("birth_date", sa.DateTime(), nullable=True),
        sa.Column("consent_date", sa.DateTime(), nullable=True),
        sa.Column("create_date", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_customers_customer",
        "blue_cherry_customers",
        ["customer"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_customers_last_mod",
        "blue_cherry_customers",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_held_rows",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("row_key", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("masked", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("resource", "row_key", "field"),
        schema="bc_ometria",
        comment="rows whose newest version is malformed: the mirror keeps their last good one",
    )
    op.create_index(
        "blue_cherry_held_rows_reference",
        "blue_cherry_held_rows",
        ["reference"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_order_lines",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("total_qty", sa.Integer(), nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("color_code", sa.Text(), nullable=False),
        sa.Column("lbl_code", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("season", sa.Text(), nullable=False),
        sa.Column("fkey", sa.BigInteger(), nullable=False),
        sa.Column("line_num", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.Column("line_disc", sa.BigInteger(), nullable=False),
        sa.Column("line_tax", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pkey", "bucket"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_order_lines_last_mod",
        "blue_cherry_order_lines",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_order_lines_ord_num",
        "blue_cherry_order_lines",
        ["ord_num"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_order_stages",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("total_qty", sa.Integer(), nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("rec_type", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("fkey", sa.BigInteger(), nullable=False),
        sa.Column("trans_date", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("pkey", "bucket"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_order_stages_last_mod",
        "blue_cherry_order_stages",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_order_stages_ord_num",
        "blue_cherry_order_stages",
        ["ord_num"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_orders",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("store", sa.Text(), nullable=False),
        sa.Column("ord_status", sa.Text(), nullable=False),
        sa.Column("hold_code", sa.Text(), nullable=False),
        sa.Column("cancel_code", sa.Text(), nullable=False),
        sa.Column("ord_type", sa.Text(), nullable=False),
        sa.Column("ref_num2", sa.Text(), nullable=False),
        sa.Column("aux_ref_num", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("first_name", sa.Text(), nullable=False),
        sa.Column("last_name", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("pay_method", sa.Text(), nullable=False),
        sa.Column("ship_via", sa.Text(), nullable=False),
        sa.Column("promo_code", sa.Text(), nullable=False),
        sa.Column("ship_city", sa.Text(), nullable=False),
        sa.Column("ship_state", sa.Text(), nullable=False),
        sa.Column("ship_zipcode", sa.Text(), nullable=False),
        sa.Column("ship_country", sa.Text(), nullable=False),
        sa.Column("bill_city", sa.Text(), nullable=False),
        sa.Column("bill_state", sa.Text(), nullable=False),
        sa.Column("bill_zipcode", sa.Text(), nullable=False),
        sa.Column("bill_country", sa.Text(), nullable=False),
        sa.Column("sub_total", sa.BigInteger(), nullable=False),
        sa.Column("disc_amt", sa.BigInteger(), nullable=False),
        sa.Column("frt_amt", sa.BigInteger(), nullable=False),
        sa.Column("tax_amt", sa.BigInteger(), nullable=False),
        sa.Column("ord_total", sa.BigInteger(), nullable=False),
        sa.Column("ord_date", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_orders_last_mod", "blue_cherry_orders", ["last_mod"], unique=False, schema="bc_ometria"
    )
    op.create_index("blue_cherry_orders_ord_num", "blue_cherry_orders", ["ord_num"], unique=False, schema="bc_ometria")
    op.create_table(
        "blue_cherry_return_lines",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("total_qty", sa.Integer(), nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("color_code", sa.Text(), nullable=False),
        sa.Column("lbl_code", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("fkey", sa.BigInteger(), nullable=False),
        sa.Column("line_num", sa.BigInteger(), nullable=False),
        sa.Column("refund_amt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pkey", "bucket"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_return_lines_last_mod",
        "blue_cherry_return_lines",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_return_lines_ord_num",
        "blue_cherry_return_lines",
        ["ord_num"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_returns",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ret_num", sa.Text(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("void_ok", sa.Text(), nullable=False),
        sa.Column("refund_total", sa.BigInteger(), nullable=False),
        sa.Column("ret_date", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_returns_last_mod", "blue_cherry_returns", ["last_mod"], unique=False, schema="bc_ometria"
    )
    op.create_index(
        "blue_cherry_returns_ord_num", "blue_cherry_returns", ["ord_num"], unique=False, schema="bc_ometria"
    )
    op.create_table(
        "blue_cherry_shipment_lines",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("total_qty", sa.Integer(), nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("color_code", sa.Text(), nullable=False),
        sa.Column("lbl_code", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("fkey", sa.BigInteger(), nullable=False),
        sa.Column("line_num", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pkey", "bucket"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_shipment_lines_last_mod",
        "blue_cherry_shipment_lines",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_shipment_lines_ord_num",
        "blue_cherry_shipment_lines",
        ["ord_num"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_shipments",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("ship_num", sa.Text(), nullable=False),
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("ship_via", sa.Text(), nullable=False),
        sa.Column("tracking", sa.Text(), nullable=False),
        sa.Column("void_ok", sa.Text(), nullable=False),
        sa.Column("ship_date", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_shipments_last_mod",
        "blue_cherry_shipments",
        ["last_mod"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_shipments_ord_num",
        "blue_cherry_shipments",
        ["ord_num"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "exceptions",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("record_type", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("times_seen", sa.Integer(), server_default="1", nullable=False),
        sa.Column("is_open", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("is_mended", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("code", "record_type", "record_id", "field"),
        schema="bc_ometria",
        comment="why a record is held, or what people should know about it; value in minor units",
    )
    op.create_index(
        "exceptions_of_record", "exceptions", ["record_type", "record_id"], unique=False, schema="bc_ometria"
    )
    op.create_index(
        "exceptions_open",
        "exceptions",
        ["record_type", "code"],
        unique=False,
        schema="bc_ometria",
        postgresql_where=sa.text("is_open"),
    )
    op.create_table(
        "outbox",
        sa.Column("record_type", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("wanted_version", sa.Text(), nullable=True),
        sa.Column("in_flight_version", sa.Text(), nullable=True),
        sa.Column("sent_version", sa.Text(), nullable=True),
        sa.Column("proved_version", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("record_type", "record_id"),
        schema="bc_ometria",
        comment="one row per Ometria record: the payload that should be there, and what was proved about it",
    )
    op.create_index(
        "outbox_unproved",
        "outbox",
        ["record_type", "accepted_at"],
        unique=False,
        schema="bc_ometria",
        postgresql_where=sa.text("state = 'sent'"),
    )
    op.create_index(
        "outbox_waiting",
        "outbox",
        ["record_type", "next_attempt", "record_id"],
        unique=False,
        schema="bc_ometria",
        postgresql_where=sa.text("state = 'wanted'"),
    )
    op.create_index(
        "outbox_withheld",
        "outbox",
        ["record_type", "reason"],
        unique=False,
        schema="bc_ometria",
        postgresql_where=sa.text("state IN ('held', 'drift')"),
    )
    op.create_table(
        "rules_in_force",
        sa.Column("only_row", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("only_row"),
        schema="bc_ometria",
        comment="the rules that every record was last mapped with",
    )
    op.create_table(
        "sales_orders",
        sa.Column("ord_num", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=True),
        sa.Column("placed_at", sa.DateTime(), nullable=True),
        sa.Column("assembled_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("mapped_version", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("ord_num"),
        schema="bc_ometria",
        comment="one document per order; mapped_version is the version the outbox knows",
    )
    op.create_index("sales_orders_customer", "sales_orders", ["customer"], unique=False, schema="bc_ometria")
    op.create_index(
        "sales_orders_unmapped",
        "sales_orders",
        ["ord_num"],
        unique=False,
        schema="bc_ometria",
        postgresql_where=sa.text("mapped_version IS DISTINCT FROM version"),
    )
    op.create_table(
        "touched",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        schema="bc_ometria",
        comment="orders and customers of which a row changed, until they are assembled and mapped again",
    )
    op.create_table(
        "watermarks",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("stamp", sa.DateTime(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("resource"),
        schema="bc_ometria",
        comment="the newest change stamp of each resource whose rows are committed, the tenant's local time",
    )


def downgrade() -> None:
    op.drop_table("watermarks", schema="bc_ometria")
    op.drop_table("touched", schema="bc_ometria")
    op.drop_index(
        "sales_orders_unmapped",
        table_name="sales_orders",
        schema="bc_ometria",
        postgresql_where=sa.text("mapped_version IS DISTINCT FROM version"),
    )
    op.drop_index("sales_orders_customer", table_name="sales_orders", schema="bc_ometria")
    op.drop_table("sales_orders", schema="bc_ometria")
    op.drop_table("rules_in_force", schema="bc_ometria")
    op.drop_index(
        "outbox_withheld",
        table_name="outbox",
        schema="bc_ometria",
        postgresql_where=sa.text("state IN ('held', 'drift')"),
    )
    op.drop_index(
        "outbox_waiting",
        table_name="outbox",
        schema="bc_ometria",
        postgresql_where=sa.text("state = 'wanted'"),
    )
    op.drop_index(
        "outbox_unproved",
        table_name="outbox",
        schema="bc_ometria",
        postgresql_where=sa.text("state = 'sent'"),
    )
    op.drop_table("outbox", schema="bc_ometria")
    op.drop_index("exceptions_open", table_name="exceptions", schema="bc_ometria", postgresql_where=sa.text("is_open"))
    op.drop_index("exceptions_of_record", table_name="exceptions", schema="bc_ometria")
    op.drop_table("exceptions", schema="bc_ometria")
    op.drop_index("blue_cherry_shipments_ord_num", table_name="blue_cherry_shipments", schema="bc_ometria")
    op.drop_index("blue_cherry_shipments_last_mod", table_name="blue_cherry_shipments", schema="bc_ometria")
    op.drop_table("blue_cherry_shipments", schema="bc_ometria")
    op.drop_index("blue_cherry_shipment_lines_ord_num", table_name="blue_cherry_shipment_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_shipment_lines_last_mod", table_name="blue_cherry_shipment_lines", schema="bc_ometria")
    op.drop_table("blue_cherry_shipment_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_returns_ord_num", table_name="blue_cherry_returns", schema="bc_ometria")
    op.drop_index("blue_cherry_returns_last_mod", table_name="blue_cherry_returns", schema="bc_ometria")
    op.drop_table("blue_cherry_returns", schema="bc_ometria")
    op.drop_index("blue_cherry_return_lines_ord_num", table_name="blue_cherry_return_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_return_lines_last_mod", table_name="blue_cherry_return_lines", schema="bc_ometria")
    op.drop_table("blue_cherry_return_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_orders_ord_num", table_name="blue_cherry_orders", schema="bc_ometria")
    op.drop_index("blue_cherry_orders_last_mod", table_name="blue_cherry_orders", schema="bc_ometria")
    op.drop_table("blue_cherry_orders", schema="bc_ometria")
    op.drop_index("blue_cherry_order_stages_ord_num", table_name="blue_cherry_order_stages", schema="bc_ometria")
    op.drop_index("blue_cherry_order_stages_last_mod", table_name="blue_cherry_order_stages", schema="bc_ometria")
    op.drop_table("blue_cherry_order_stages", schema="bc_ometria")
    op.drop_index("blue_cherry_order_lines_ord_num", table_name="blue_cherry_order_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_order_lines_last_mod", table_name="blue_cherry_order_lines", schema="bc_ometria")
    op.drop_table("blue_cherry_order_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_held_rows_reference", table_name="blue_cherry_held_rows", schema="bc_ometria")
    op.drop_table("blue_cherry_held_rows", schema="bc_ometria")
    op.drop_index("blue_cherry_customers_last_mod", table_name="blue_cherry_customers", schema="bc_ometria")
    op.drop_index("blue_cherry_customers_customer", table_name="blue_cherry_customers", schema="bc_ometria")
    op.drop_table("blue_cherry_customers", schema="bc_ometria")
    op.drop_index("blue_cherry_addresses_last_mod", table_name="blue_cherry_addresses", schema="bc_ometria")
    op.drop_index("blue_cherry_addresses_customer", table_name="blue_cherry_addresses", schema="bc_ometria")
    op.drop_table("blue_cherry_addresses", schema="bc_ometria")
