"""What happens at the two borders when a system answers something else than it should: the run says which
system, which resource and what was expected; nothing is lost, and the next run goes on."""

import pytest

from bc_ometria_tests.scenarios.shop import MONDAY, Shop, causes, customer, everything_dagster_keeps

ORDER = "0000001001"


@pytest.fixture
def opened_shop(shop: Shop) -> Shop:
    shop.write("customers", customer())
    shop.order(ORDER)
    return shop


def _all_went_through(shop: Shop) -> None:
    assert causes(shop.sync()) == {}
    assert shop.states() == {ORDER: "confirmed"}
    assert shop.states("contact") == {"00000001": "confirmed"}


def test_a_missing_column_names_resource_column_and_what_was_expected(opened_shop: Shop) -> None:
    opened_shop.fault(kind="missing_column", resource="orders", column="ord_total")
    result = opened_shop.sync()
    assert not result.success
    assert list(causes(result)) == ["blue_cherry__orders"]
    told = causes(result)["blue_cherry__orders"]
    assert "Blue Cherry's orders come without the column 'ord_total' (an amount as 129.00 was expected)" in told
    assert "say so in tenant.yaml under resources.orders.columns" in told
    _all_went_through(opened_shop)


def test_a_web_page_instead_of_rows_names_resource_and_what_was_expected(opened_shop: Shop) -> None:
    opened_shop.fault(kind="html", resource="order-lines")
    result = opened_shop.sync()
    assert list(causes(result)) == ["blue_cherry__order_lines"]
    told = causes(result)["blue_cherry__order_lines"]
    assert "Blue Cherry answered order_lines with something that is not JSON (text/html" in told
    assert "rows as JSON were expected" in told
    _all_went_through(opened_shop)


def test_a_resource_that_fails_stops_its_orders_but_not_the_other_resources(opened_shop: Shop) -> None:
    """What depends on it waits for the next run: an order is assembled from all its parts or not at all. The
    customers do not depend on it and go through in the same run."""
    opened_shop.fault(kind="html", resource="order-lines")
    result = opened_shop.sync()
    done = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
    assert done == {
        "blue_cherry/customers",
        "blue_cherry/addresses",
        "blue_cherry/orders",
        "blue_cherry/order_stages",
        "blue_cherry/shipments",
        "blue_cherry/returns",
        "blue_cherry/refreshed",
        "ometria/unsubscribes",
        "ometria/contacts",
        "delivery/contacts",
    }
    assert opened_shop.states("contact") == {"00000001": "confirmed"}
    assert opened_shop.states() == {}
    _all_went_through(opened_shop)


@pytest.mark.parametrize(
    ("variable", "failing", "words"),
    [
        (
            "BLUE_CHERRY_API_KEY",
            {"blue_cherry__customers", "blue_cherry__orders", "blue_cherry__returns"},
            ["Blue Cherry refused the key", "401", "the key is invalid", "BLUE_CHERRY_API_KEY"],
        ),
        ("OMETRIA_API_KEY", {"ometria__unsubscribes"}, ["Ometria refused the API key", "403", "OMETRIA_API_KEY"]),
    ],
)
def test_a_wrong_key_names_the_system_that_refused_it(
    opened_shop: Shop, monkeypatch: pytest.MonkeyPatch, variable: str, failing: set[str], words: list[str]
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setenv(variable, "a-canary-of-a-key")
        result = opened_shop.sync()
    assert not result.success
    assert failing <= causes(result).keys()
    for told in causes(result).values():
        assert [word for word in words if word not in told] == []
    assert opened_shop.pushed == []
    kept = everything_dagster_keeps(opened_shop.instance, [result.run_id])
    assert "a-canary-of-a-key" not in kept
    _all_went_through(opened_shop)


def test_broken_rules_are_refused_with_file_line_and_allowed_values(opened_shop: Shop) -> None:
    broken = opened_shop.rules_folder / "attributes.yaml"
    broken.write_text(
        "contacts:\n  email: hold\n  phone: maybe\n  country: report\n  consent: report\n"
        "orders: {identity: hold, email: report}\n"
    )
    result = opened_shop.sync()
    assert not result.success
    told = " ".join(causes(result).values())
    assert f"{broken}:3: contacts.phone: 'maybe' is not possible here (allowed: 'hold' or 'report')" in told
    assert opened_shop.pushed == []
    broken.unlink()
    _all_went_through(opened_shop)


def test_a_broken_tenant_profile_is_refused_likewise(opened_shop: Shop) -> None:
    broken = opened_shop.rules_folder / "tenant.yaml"
    broken.write_text("time_zone: Europe/London\nkeyheader: X\n")
    result = opened_shop.redo(MONDAY, "blue_cherry")
    assert not result.success
    assert {f"{broken}:2: keyheader: is not a known field" in told for told in causes(result).values()} == {True}


def test_what_ometria_does_not_take_now_waits_and_the_run_says_so(opened_shop: Shop) -> None:
    """P7, truth 1: a run that could not send is no failed run, and what it could not send is on its way."""
    from bc_ometria.sandbox.ometria.faults import Fault

    opened_shop.sandbox.account.faults.arm(Fault(kind="server_error", path="/push", calls=None))
    result = opened_shop.sync()
    opened_shop.sandbox.account.faults.clear()
    assert result.success
    assert opened_shop.states("contact") == {"00000001": "wanted"}
    logged = everything_dagster_keeps(opened_shop.instance, [result.run_id])
    assert "1 records were put back and go again by themselves" in logged
