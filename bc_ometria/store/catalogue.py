"""What the mirror's catalogue says about order lines: the label of a size, the name of a colour, the UPC.

A catalogue row belongs to no order. It bears on every line with its keys, whenever that was written, so a change of
what lines show of it touches their orders. Of several rows with the same keys the newest counts (ours).
"""

from sqlalchemy import Column, Text

from bc_ometria.store.schema import MIRROR

_BUCKETS = range(1, 25)

RESOURCES = ("styles", "style_colors", "sizes", "upcs")

DESCRIPTION = [Column(name, Text) for name in ("size", "colour", "upc")]
"""The columns that ``describe`` adds."""

_SHOWN = {
    "styles": ["size_code"],
    "style_colors": ["color_name"],
    "sizes": [f"sz{bucket:02}" for bucket in _BUCKETS],
    "upcs": ["upc"],
}
"""What lines show of each resource."""


def describe(order_lines: str) -> str:
    """A query of order lines with the columns of ``DESCRIPTION`` added, blank where the catalogue knows nothing.

    A UPC belongs to the unlabelled SKU (contracts/blue_cherry.md): a line with a label has none.
    """
    # In the order of the indexes: neighbours are then looked up in the same pages, which takes a fifth off.
    return f"""
        SELECT l.*, COALESCE(({_labels("z")})[l.bucket], ''), COALESCE(c.color_name, ''), COALESCE(u.upc, '')
        FROM ({order_lines} ORDER BY style, color_code, bucket) l
        LEFT JOIN LATERAL ({_newest("styles", "l")}) s ON true
        LEFT JOIN LATERAL ({_newest("sizes", "s")}) z ON true
        LEFT JOIN LATERAL ({_newest("style_colors", "l")}) c ON true
        LEFT JOIN LATERAL ({_newest("upcs", "l")}) u ON l.lbl_code = ''
    """


def orders_of_changed(resource: str) -> str:
    """A query of the orders with a line that shows something else once the rows of ``staging`` whose ``pkey`` is in
    ``changed`` have replaced those of the mirror: both the orders of the old keys and those of the new ones."""
    keys = ", ".join(MIRROR[resource].info["keys"])
    columns = ", ".join(["pkey", keys, *_SHOWN[resource]])
    before, after = (
        f"SELECT {columns} FROM {rows} WHERE pkey IN (SELECT pkey FROM changed WHERE content)"
        for rows in (MIRROR[resource].fullname, "staging")
    )
    lines = f"JOIN {MIRROR['order_lines'].fullname} USING ({keys})"
    if resource == "sizes":  # which scale a line has, its style says
        styles = MIRROR["styles"]
        lines = (
            f"JOIN {styles.fullname} USING (size_code) JOIN {MIRROR['order_lines'].fullname} USING (division, style)"
        )
    return f"""
        SELECT DISTINCT ord_num AS reference
        FROM (({before} EXCEPT {after}) UNION ({after} EXCEPT {before})) differing {lines}
    """


def _newest(resource: str, of: str) -> str:
    """The newest row with the keys of ``of``."""
    keys = " AND ".join(f"r.{key} = {of}.{key}" for key in MIRROR[resource].info["keys"])
    shown = ", ".join(_SHOWN[resource])
    return f"SELECT {shown} FROM {MIRROR[resource].fullname} r WHERE {keys} ORDER BY last_mod DESC, pkey DESC LIMIT 1"


def _labels(sizes: str) -> str:
    return "ARRAY[" + ", ".join(f"{sizes}.sz{bucket:02}" for bucket in _BUCKETS) + "]"
