"""Approving from the launchpad what the guard stopped (P6)."""

import dagster as dg
from sqlalchemy import Engine

from bc_ometria.automation.approve import approve
from bc_ometria.delivery.guard import watch
from bc_ometria.resources import Store
from bc_ometria.rules import Rules
from bc_ometria_tests.store.waiting import VALID_TO_INVALID, fill

LIMITS = Rules.load().thresholds.guard


def launch(engine: Engine, stop_id: int) -> dg.ExecuteInProcessResult:
    store = Store(database_url=engine.url.render_as_string(hide_password=False))
    config = {"ops": {"approve_stop": {"config": {"stop_id": stop_id}}}}
    return approve.execute_in_process(run_config=config, resources={"store": store}, raise_on_error=False)


def test_a_stop_is_approved_from_the_launchpad(engine: Engine) -> None:
    fill(engine, 60, "cancellations", **VALID_TO_INVALID)
    assert watch(engine, LIMITS)
    result = launch(engine, 1)
    assert result.success
    (output,) = (event.step_output_data for event in result.all_node_events if event.is_successful_output)
    assert output.metadata["records_approved"].value == 60
    assert watch(engine, LIMITS) == set()


def test_a_wrong_id_fails_with_what_to_do(engine: Engine) -> None:
    result = launch(engine, 99)
    assert not result.success
    (failure,) = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert "There is no stop 99. `bc-ometria approve` lists those that are open." in str(
        failure.user_failure_data.description
    )
