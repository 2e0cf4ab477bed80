"""Rates count real calls in real time, whatever the stand-in's clock says."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bc_ometria.sandbox.ometria.limits import SlidingWindow
from bc_ometria_tests.sandbox.ometria_stand_in import order, stand_in


@given(limit=st.integers(1, 8), gaps=st.lists(st.integers(0, 1500), max_size=60))
def test_no_window_of_a_period_admits_more_than_its_limit(limit, gaps):
    window, now, admitted = SlidingWindow(1000), 0, []
    for gap in gaps:
        now += gap
        if window.admit(limit, now):
            admitted.append(now)
        else:
            assert sum(now - 1000 < each for each in admitted) == limit
    assert all(sum(each <= other < each + 1000 for other in admitted) <= limit for each in admitted)


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/push", [order()]), ("GET", "/orders", None)])
def test_a_burst_of_calls_is_cut_off_at_the_rate_per_second(method, path, body):
    with stand_in(limits=True) as ometria, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(ometria.api.request, method, path, json=body) for _ in range(64)]
        statuses = [call.result().status_code for call in calls]
        assert statuses.count(429) >= 1
        assert statuses.count(429) < 64
        assert ometria.control.get("/counts").json()["statuses"]["429"] == statuses.count(429)


def test_gdpr_calls_are_limited_to_six_and_merges_to_one_a_minute():
    with stand_in(limits=True) as ometria:
        asked = {"email": "ada@example.com"}
        statuses = [ometria.api.post("/data-deletion-requests", json=asked).status_code for _ in range(7)]
        assert statuses == [202] * 6 + [429]
        ometria.advance(hours=1)
        assert ometria.api.get("/data-deletion-requests").status_code == 429
        merge = {
            "survivor": {"type": "customer_id", "value": "C1"},
            "customers_to_merge": [{"type": "customer_id", "value": "C2"}],
        }
        statuses = [ometria.api.post("/merge-profile", json=merge).status_code for _ in range(2)]
        assert statuses == [202, 429]


def test_limits_can_be_changed_and_switched_off():
    with stand_in(limits=True, gdpr_per_minute=1) as ometria:
        assert ometria.api.get("/data-deletion-requests").status_code == 200
        assert ometria.api.get("/data-deletion-requests").status_code == 429
        ometria.control.patch("/settings", json={"gdpr_per_minute": 2})
        assert ometria.api.get("/data-deletion-requests").status_code == 200
        assert ometria.api.get("/data-deletion-requests").status_code == 429
        ometria.control.patch("/settings", json={"limits": False})
        assert ometria.api.get("/data-deletion-requests").status_code == 200


def test_a_refused_key_uses_up_no_rate():
    with stand_in(limits=True, gdpr_per_minute=1) as ometria:
        wrong = {"X-Ometria-Auth": "another"}
        assert ometria.api.get("/data-deletion-requests", headers=wrong).status_code == 403
        assert ometria.api.get("/data-deletion-requests").status_code == 200
