"""What the catalogue says about order lines, and which orders a change of it brings back (P8, F2)."""

from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, text

from bc_ometria.store import catalogue, known, mirror
from bc_ometria.store.database import _config, migrate
from bc_ometria.store.schema import SCHEMA
from bc_ometria_tests.store.rows import row, table, touched_since, write

FIRST, SECOND, THIRD = "0000001042", "0000001043", "0000001044"
BLACK, BLUE = "5012345678900", "5012345678917"
SHOWN = {"styles": "size_code", "style_colors": "color_name", "sizes": "sz03", "upcs": "upc"}


def fill(engine: Engine) -> None:
    """The example's catalogue."""
    for resource in catalogue.RESOURCES:
        write(engine, resource, row(resource, 1))


def lines(engine: Engine, *numbers: str) -> list[list[Any]]:
    """Key, bucket, size, colour and UPC of the lines of some orders, in the order of their keys."""
    parts, _ = mirror.read_orders(engine, numbers or [FIRST])
    columns = ["pkey", "bucket", *(column.name for column in catalogue.DESCRIPTION)]
    return parts["order_lines"].sort_values(["pkey", "bucket"])[columns].to_numpy().tolist()


def test_a_line_has_the_label_of_its_size_the_name_of_its_colour_and_its_upc(engine: Engine) -> None:
    write(engine, "order_lines", row("order_lines", 70))
    assert lines(engine) == [[70, 3, "", "", ""], [70, 5, "", "", ""]]
    fill(engine)
    assert lines(engine) == [[70, 3, "36", "Black", BLACK], [70, 5, "40", "Black", ""]]
    parts, _ = mirror.read_orders(engine, [])
    assert parts["order_lines"][["size", "colour", "upc"]].dtypes.astype(str).tolist() == ["str"] * 3


def test_what_the_catalogue_says_about_other_goods_does_not_count(engine: Engine) -> None:
    """The same style in two divisions is two products; a UPC belongs to the unlabelled SKU."""
    fill(engine)
    others = [{"division": "IE"}, {"style": "0421"}, {"color_code": "NAV"}, {"dimension": "L"}, {"lbl_code": "GIF"}]
    empty = {"size03_qty": 0, "size05_qty": 0, "total_qty": 0}
    cells = [*others, empty]
    write(engine, "order_lines", *(row("order_lines", 70 + at, **values) for at, values in enumerate(cells)))
    assert [[at, *described] for at, bucket, *described in lines(engine) if bucket != 5] == [
        [70, "", "", ""],
        [71, "", "", ""],
        [72, "36", "", ""],
        [73, "36", "Black", ""],
        [74, "36", "Black", ""],
        [75, "", "Black", ""],
    ]


@pytest.mark.parametrize("resource", catalogue.RESOURCES)
@pytest.mark.parametrize("newest_first", [True, False])
def test_of_two_catalogue_rows_the_newest_counts_and_no_line_is_multiplied(
    engine: Engine, resource: str, newest_first: bool
) -> None:
    fill(engine)
    write(engine, "order_lines", row("order_lines", 70))
    before = lines(engine)
    other = "" if resource == "styles" else "other"
    older, newer = row(resource, 9, minutes=-5, **{SHOWN[resource]: other}), row(resource, 2, minutes=5)
    write(engine, resource, *((newer, older) if newest_first else (older, newer)))
    assert lines(engine) == before
    same_stamp = row(resource, 3, minutes=5, **{SHOWN[resource]: other})  # of one stamp that of the higher key
    write(engine, resource, same_stamp)
    after = lines(engine)
    assert after != before
    assert [line[:2] for line in after] == [line[:2] for line in before]


@pytest.mark.parametrize("resource", catalogue.RESOURCES)
def test_a_change_of_what_lines_show_touches_their_orders(engine: Engine, resource: str) -> None:
    other = {"sizes": [{"style": "0421"}]}.get(resource, [{"style": "0421"}, {"division": "IE"}])
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, ord_num=SECOND))
    write(engine, "order_lines", *(row("order_lines", 80 + n, ord_num=THIRD, **sku) for n, sku in enumerate(other)))
    fill(engine)
    write(engine, "styles", row("styles", 2, style="0421", size_code="US"))
    touched_since(engine)
    assert write(engine, resource, row(resource, 1, minutes=1, **{SHOWN[resource]: "~"})).changed == 1
    assert touched_since(engine) == [FIRST, SECOND]
    assert write(engine, resource, row(resource, 1, minutes=1, **{SHOWN[resource]: "~"})).changed == 0
    assert write(engine, resource, row(resource, 1, minutes=2, **{SHOWN[resource]: "~"})).changed == 0
    assert touched_since(engine) == []


@pytest.mark.parametrize(
    ("resource", "cells"), [("styles", {"style_name": "Dress"}), ("style_colors", {"call03": "Y", "active_ok": "N"})]
)
def test_a_change_that_no_line_shows_is_kept_and_touches_nothing(
    engine: Engine, resource: str, cells: dict[str, str]
) -> None:
    """A new price of every style, as before a sale, must not bring back the orders of all years."""
    write(engine, "order_lines", row("order_lines", 70))
    fill(engine)
    touched_since(engine)
    assert write(engine, resource, row(resource, 1, minutes=1, **cells)).changed == 1
    assert touched_since(engine) == []


@pytest.mark.parametrize("resource", ["styles", "style_colors", "upcs"])
def test_a_row_that_moves_to_another_style_touches_the_orders_of_both(engine: Engine, resource: str) -> None:
    write(engine, "order_lines", row("order_lines", 70), row("order_lines", 71, ord_num=SECOND, style="0421"))
    fill(engine)
    touched_since(engine)
    write(engine, resource, row(resource, 1, minutes=1, style="0421"))
    assert touched_since(engine) == [FIRST, SECOND]


def test_a_upc_touches_only_the_orders_of_its_size(engine: Engine) -> None:
    three, five = {"size05_qty": 0, "total_qty": 2}, {"size03_qty": 0, "total_qty": 1}
    write(engine, "order_lines", row("order_lines", 70, **three), row("order_lines", 71, ord_num=SECOND, **five))
    touched_since(engine)
    write(engine, "upcs", row("upcs", 1), row("upcs", 2, bucket=24))
    assert touched_since(engine) == [FIRST]


def test_a_malformed_row_of_the_catalogue_is_held_and_holds_no_order(engine: Engine) -> None:
    """P1: it is seen; the lines go on with what the last good one says."""
    write(engine, "order_lines", row("order_lines", 70))
    fill(engine)
    touched_since(engine)
    assert write(engine, "upcs", row("upcs", 1, minutes=1, upc=BLUE, spoilt={"bucket": "three"})).held == 1
    assert touched_since(engine) == []
    assert table(engine, "blue_cherry_held_rows", "resource, row_key, reference, field") == [
        ("upcs", "1", "", "bucket")
    ]
    assert lines(engine)[0] == [70, 3, "36", "Black", BLACK]
    assert mirror.read_orders(engine, [FIRST])[1].empty
    write(engine, "upcs", row("upcs", 1, minutes=2, upc=BLUE))
    assert touched_since(engine) == [FIRST]
    assert mirror.held_keys(engine, "upcs") == set()
    assert lines(engine)[0] == [70, 3, "36", "Black", BLUE]


def test_the_watermark_of_the_catalogue_moves_like_any_other(engine: Engine) -> None:
    write(engine, "sizes", row("sizes", 1, minutes=3), moves=True)
    stamp = mirror.watermark(engine, "sizes")
    assert stamp is not None
    assert known.stamps(engine, "sizes", stamp).to_dict() == {1: stamp}


def test_orders_of_a_store_without_a_catalogue_are_assembled_again(engine: Engine) -> None:
    """Their documents lack what the catalogue says; and a catalogue that was given up is read from the start."""
    fill(engine)
    write(engine, "upcs", row("upcs", 2, spoilt={"bucket": "three"}), moves=True)
    write(engine, "sizes", row("sizes", 1, minutes=3), moves=True)
    write(engine, "orders", row("orders"), moves=True)
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        connection.execute(text(f"TRUNCATE {SCHEMA}.touched"))
        for number in (FIRST, SECOND):
            connection.execute(
                text(
                    f"INSERT INTO {SCHEMA}.sales_orders (ord_num, document, version, customer) "
                    "VALUES (:number, '', '', '')"
                ),
                {"number": number},
            )
        connection.execute(
            text(f"INSERT INTO {SCHEMA}.touched (kind, key) VALUES ('order', :number)"), {"number": FIRST}
        )
    migrate(engine)
    assert table(engine, "sales_orders", "ord_num") == []
    assert touched_since(engine) == [FIRST, SECOND]
    assert mirror.watermark(engine, "sizes") is None
    assert mirror.watermark(engine, "orders") is not None
    assert mirror.held_keys(engine, "upcs") == set()
