"""P22: what comes back. Status, amounts per line, and one event a return."""

from bc_ometria_tests.scenarios.shop import Shop, customer

ONE, TWO, THREE = "0000003001", "0000003002", "0000003003"


def test_a_part_refund_then_a_full_one_an_exchange_and_a_voided_return(shop: Shop) -> None:
    """P22, P5, P20: pieces and money on the lines, and each return told once."""
    in_two, exchanged, voided = ONE, TWO, THREE
    shop.write("customers", customer())
    shop.describe("STYLE001", "STYLE002")
    for at, number in enumerate((in_two, exchanged, voided), 1):
        shop.order(number, pieces=(2, 1), ord_status="C")
        shop.ship(number, f"000000050{at}", {1: 2, 2: 1}, tracking="A")
    shop.sync()

    def lines(number: str) -> list[tuple[int, int, float]]:
        items = shop.orders()[number]["lineitems"]
        return [(item["quantity"], item.get("quantity_refunded", 0), item.get("refunded", 0.0)) for item in items]

    def order(number: str) -> tuple[object, ...]:
        whole = shop.orders()[number]
        return whole["status"], whole["is_valid"], whole["grand_total"], whole["properties"].get("refunded")

    assert order(in_two) == ("dispatched", True, 150.0, None)
    assert lines(in_two) == [(2, 0, 0.0), (1, 0, 0.0)]

    shop.at("2026-01-06 10:00")
    shop.refund(in_two, "0000000701", {1: 1}, "FIT")
    shop.refund(exchanged, "0000000702", {2: 1}, "EX")
    shop.refund(voided, "0000000703", {1: 2}, "DMG")
    shop.sync()
    assert order(in_two) == ("partial_refund", True, 150.0, 50.0)
    assert lines(in_two) == [(2, 1, 50.0), (1, 0, 0.0)]
    assert order(exchanged) == ("exchanged", True, 150.0, 50.0)
    assert lines(exchanged) == [(2, 0, 0.0), (1, 1, 50.0)]
    assert order(voided) == ("partial_refund", True, 150.0, 100.0)

    shop.at("2026-01-07 10:00")
    shop.mark(in_two, ord_status="R")
    shop.refund(in_two, "0000000711", {1: 1, 2: 1}, "MIND")
    shop.edit("returns", 703, void_ok="Y")
    shop.move(voided, "RT", {1: -2})
    shop.sync()
    assert order(in_two) == ("refunded", False, 150.0, 150.0)
    assert lines(in_two) == [(2, 2, 100.0), (1, 1, 50.0)]
    assert order(voided) == ("dispatched", True, 150.0, None)
    assert lines(voided) == [(2, 0, 0.0), (1, 0, 0.0)]

    sent = ["order_picking", "order_dispatched"]
    assert shop.told(in_two) == [*sent, "order_part_refunded", "order_refunded"]
    assert shop.told(exchanged) == shop.told(voided) == [*sent, "order_part_refunded"]
    part, full = shop.events(in_two)[2:]
    assert part.at == "2026-01-06T10:00:00Z"
    assert part.properties == {
        "order": in_two,
        "store": "uk",
        "return": "0000000701",
        "reason": "did not fit",
        "reason_code": "FIT",
        "refunded": 50.0,
        "currency": "GBP",
        "lines": [{"product": "100-STYLE001", "size": "M", "colour": "Navy", "quantity": 1}],
    }
    assert (full.properties["refunded"], full.properties["return"]) == (100.0, "0000000711")
    assert full.lines == [("100-STYLE001", "M", "Navy", 1), ("100-STYLE002", "M", "Navy", 1)]
    assert shop.events(exchanged)[2].properties["reason"] == "exchanged"
    assert shop.open_exceptions() == set()


def test_money_paid_back_without_goods_counts_and_freight_stands_on_no_line(shop: Shop) -> None:
    """P22: an order refunded whole, freight included, though nothing was sent back."""
    shop.write("customers", customer())
    shop.order(ONE, ord_status="C")
    shop.mark(ONE, frt_amt="5.00", ord_total="105.00")
    shop.ship(ONE, "0000000501", {1: 2}, tracking="A")
    shop.refund(ONE, "0000000701", {1: 2}, "LATE")
    shop.edit("returns", 701, refund_total="105.00")
    shop.sync()
    order = shop.orders()[ONE]
    assert (order["status"], order["is_valid"], order["grand_total"]) == ("refunded", False, 105.0)
    assert order["properties"]["refunded"] == 105.0
    assert order["lineitems"][0]["refunded"] == 100.0
    assert shop.told(ONE) == ["order_picking", "order_dispatched", "order_refunded"]
    assert shop.events(ONE)[2].properties["refunded"] == 105.0
