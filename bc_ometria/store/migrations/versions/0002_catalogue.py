"""The catalogue in the mirror: styles, colours, size scales and UPCs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blue_cherry_sizes",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("size_code", sa.Text(), nullable=False),
        *(sa.Column(f"sz{bucket:02}", sa.Text(), nullable=False) for bucket in range(1, 25)),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_sizes_newest",
        "blue_cherry_sizes",
        ["size_code", "last_mod", "pkey"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_style_colors",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("color_code", sa.Text(), nullable=False),
        sa.Column("color_name", sa.Text(), nullable=False),
        sa.Column("active_ok", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_style_colors_newest",
        "blue_cherry_style_colors",
        ["style", "color_code", "division", "last_mod", "pkey"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_styles",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("style_name", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("gender", sa.Text(), nullable=False),
        sa.Column("size_code", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("image_url", sa.Text(), nullable=False),
        sa.Column("active_ok", sa.Text(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_styles_newest",
        "blue_cherry_styles",
        ["style", "division", "last_mod", "pkey"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_table(
        "blue_cherry_upcs",
        sa.Column("pkey", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_mod", sa.DateTime(), nullable=False),
        sa.Column("row_hash", sa.BigInteger(), nullable=False),
        sa.Column("division", sa.Text(), nullable=False),
        sa.Column("style", sa.Text(), nullable=False),
        sa.Column("color_code", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("upc", sa.Text(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pkey"),
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_upcs_newest",
        "blue_cherry_upcs",
        ["style", "color_code", "bucket", "division", "dimension", "last_mod", "pkey"],
        unique=False,
        schema="bc_ometria",
    )
    op.create_index(
        "blue_cherry_order_lines_style",
        "blue_cherry_order_lines",
        ["style", "division"],
        unique=False,
        schema="bc_ometria",
    )
    # The documents have columns that those written so far lack: the next run assembles every order again.
    op.execute(
        "INSERT INTO bc_ometria.touched (kind, key) SELECT 'order', ord_num FROM bc_ometria.sales_orders "
        "ON CONFLICT (kind, key) DO UPDATE SET at = DEFAULT"
    )
    op.execute("DELETE FROM bc_ometria.sales_orders")


def downgrade() -> None:
    op.drop_index("blue_cherry_order_lines_style", table_name="blue_cherry_order_lines", schema="bc_ometria")
    op.drop_index("blue_cherry_upcs_newest", table_name="blue_cherry_upcs", schema="bc_ometria")
    op.drop_table("blue_cherry_upcs", schema="bc_ometria")
    op.drop_index("blue_cherry_styles_newest", table_name="blue_cherry_styles", schema="bc_ometria")
    op.drop_table("blue_cherry_styles", schema="bc_ometria")
    op.drop_index("blue_cherry_style_colors_newest", table_name="blue_cherry_style_colors", schema="bc_ometria")
    op.drop_table("blue_cherry_style_colors", schema="bc_ometria")
    op.drop_index("blue_cherry_sizes_newest", table_name="blue_cherry_sizes", schema="bc_ometria")
    op.drop_table("blue_cherry_sizes", schema="bc_ometria")
    # Otherwise the catalogue would be taken for read when it is kept again.
    catalogue = "resource IN ('styles', 'style_colors', 'sizes', 'upcs')"
    op.execute(f"DELETE FROM bc_ometria.watermarks WHERE {catalogue}")
    op.execute(f"DELETE FROM bc_ometria.blue_cherry_held_rows WHERE {catalogue}")
