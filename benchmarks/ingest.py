"""From Blue Cherry's HTTP to the outbox: every order committed in PostgreSQL as the payload that should go out."""

import io
from collections.abc import Sequence

import httpx
import orjson
from sqlalchemy import Engine, text

from bc_ometria.assets.mirror import capture
from bc_ometria.assets.ometria import queue_unmapped_orders
from bc_ometria.assets.sales import assemble_touched
from bc_ometria.blue_cherry.client import BlueCherryClient
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.rules import Rules
from bc_ometria.store import mirror, outbox
from bc_ometria.store.database import migrate
from bc_ometria.store.schema import MIRROR, SCHEMA
from benchmarks.orders import ROWS
from benchmarks.speed import Speed, measure
from benchmarks.stand_ins import ENVIRONMENT, KEY, TENANT

RESOURCES = ("orders", "order_lines", "order_stages")


def run(
    engine: Engine, blue_cherry_url: str, orders: int, rules: Rules, profile: TenantProfile, repetitions: int
) -> Speed:
    """Orders a second that come into an empty store. The last repetition's are left in it.

    Raises ``RuntimeError`` if not each of them ends up wanted in the outbox.
    """

    def ingest() -> None:
        with BlueCherryClient(blue_cherry_url, TENANT, ENVIRONMENT, KEY, profile) as client:
            for resource in mirror.ORDER_RESOURCES:
                capture(engine, client, profile, resource, modified_since=None)
        assemble_touched(engine, _none_is_doubtful)
        queue_unmapped_orders(engine, rules, profile)

    speed = measure("orders", orders, ingest, repetitions, before=lambda: empty_the_store(engine))
    states = outbox.counts(engine)[["state", "records"]].to_numpy().tolist()
    if states != [["wanted", orders]]:
        raise RuntimeError(f"not every order came into the outbox: {states}")
    return speed


def raw_reading(blue_cherry_url: str, orders: int, profile: TenantProfile, repetitions: int) -> Speed:
    """Rows a second of a bare httpx loop over the same pages, each parsed as JSON and dropped."""

    def read() -> None:
        rows = 0
        with httpx.Client(headers={profile.key_header: KEY}, timeout=30) as client:
            for resource in RESOURCES:
                url = f"{blue_cherry_url}/{TENANT}/{ENVIRONMENT}/{profile.resource(resource).path}"
                page = 0
                while rows_of_page := orjson.loads(
                    client.get(url, params={"page": page + 1, "page_size": profile.page_size}).content
                )["value"]:
                    page, rows = page + 1, rows + len(rows_of_page)
        if rows != orders * ROWS:
            raise RuntimeError(f"{rows} rows were read instead of {orders * ROWS}")

    return measure("rows", orders * ROWS, read, repetitions)


def raw_copy(engine: Engine, repetitions: int) -> Speed:
    """Rows a second of a bare COPY of the mirror's rows, ready as text, into tables without any index."""
    ready = {resource: _as_text(engine, resource) for resource in RESOURCES}
    number = sum(content.count(b"\n") for content in ready.values())

    def make_tables() -> None:
        with engine.begin() as connection:
            for resource in RESOURCES:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {SCHEMA}.bare_{resource}")
                connection.exec_driver_sql(f"CREATE TABLE {SCHEMA}.bare_{resource} (LIKE {MIRROR[resource].fullname})")

    def copy() -> None:
        with engine.begin() as connection:
            for resource, content in ready.items():
                cursor = connection.connection.cursor()
                cursor.copy_expert(f"COPY {SCHEMA}.bare_{resource} FROM STDIN", io.BytesIO(content))

    return measure("rows", number, copy, repetitions, before=make_tables)


def empty_the_store(engine: Engine) -> None:
    """The project's tables as on the first day."""
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
    migrate(engine)


def _as_text(engine: Engine, resource: str) -> bytes:
    content = io.BytesIO()
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        cursor.copy_expert(f"COPY {MIRROR[resource].fullname} TO STDOUT", content)
    return content.getvalue()


def _none_is_doubtful(order_numbers: Sequence[str]) -> None:
    raise RuntimeError(f"orders had to be read again: {order_numbers}")
