"""A person lets go what the guard stopped, from Dagster's launchpad."""

import dagster as dg
from pydantic import Field

from bc_ometria.resources import Store
from bc_ometria.store import stops


class Approval(dg.Config):
    stop_id: int = Field(description="The stop, as the check changes_are_in_proportion names it.")


@dg.op(description="End a stop of the guard and let go the records that it was about.")
def approve_stop(context: dg.OpExecutionContext, config: Approval, store: Store) -> None:
    try:
        records = stops.approve(store.engine, config.stop_id)
    except stops.NotStopped as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None
    context.log.info(
        f"Stop {config.stop_id} has ended: {records} records were approved, and go with the next delivery."
    )
    context.add_output_metadata({"stop": config.stop_id, "records_approved": records})


@dg.job(
    executor_def=dg.in_process_executor,
    description="Let go what the guard stopped. Look at the check changes_are_in_proportion first: it shows what would "
    "change in Ometria, and the stop_id to give here. The same as `bc-ometria approve ID`.",
    tags={"dagster/max_runtime": 600},
)
def approve() -> None:
    approve_stop()
