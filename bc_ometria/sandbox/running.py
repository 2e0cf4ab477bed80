"""Both stand-ins together, with the data of one tenant, for as long as a ``with`` block lasts."""

import tempfile
import threading
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from bc_ometria.sandbox import blue_cherry, ometria, online_retail
from bc_ometria.sandbox.apparel import Apparel
from bc_ometria.sandbox.clock import Clock
from bc_ometria.sandbox.server import Server

TenantName = Literal["apparel", "online-retail"]

TIME_ZONE = "Europe/London"
TENANT, ENVIRONMENT, KEY = "SANDBOX", "staging", "sandbox-blue-cherry-key"

RULES: dict[TenantName, Path | None] = {
    "apparel": None,
    "online-retail": Path(__file__).parent / "tenants" / "online_retail",
}
"""The rules that belong to each tenant's data; ``None`` where the project's own do."""


class Sandbox:
    """A stand-in of Blue Cherry with a tenant's rows, and an empty account of Ometria.

    ``apparel`` begins at ``start`` with its catalogue and customers, and lives on when it is advanced.
    ``online-retail`` holds all orders of the files in ``data`` from the beginning. Ometria lives in the
    machine's time; Blue Cherry's clock stands at ``start`` until it is advanced.

    Beside the control routes of the two there is ``/_control/retailer`` at Blue Cherry: POST
    ``{"to": time with offset}`` lets the apparel retailer live until then; GET lists the defects it has
    planted and not mended.
    """

    def __init__(
        self,
        tenant: TenantName = "apparel",
        *,
        data: tuple[Path, ...] = (),
        start: datetime | None = None,
        seed: int = 1,
        customers: int = 1000,
        orders_per_day: int = 300,
        blue_cherry_port: int = 0,
        ometria_port: int = 0,
        limits: bool = True,
    ) -> None:
        if tenant == "online-retail" and not data:
            raise ValueError("online-retail needs its data: name one or more files")
        self.tenant: TenantName = tenant
        self.clock = Clock(start)
        self.account = ometria.Account(Clock(), ometria.Settings(limits=limits, error_shape="observed"))
        self._data = data
        self._ports = (blue_cherry_port, ometria_port)
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._retailer: Apparel | None = None
        if tenant == "apparel":
            begin = self.clock.now().astimezone(ZoneInfo(TIME_ZONE))
            self._retailer = Apparel(
                seed, customers=customers, orders_per_day=orders_per_day, start=begin, time_zone=TIME_ZONE
            )

    def __enter__(self) -> Self:
        folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="blue-cherry-"))
        self.blue_cherry = blue_cherry.BlueCherryDatabase(self.clock, TIME_ZONE, str(Path(folder) / "rows.sqlite"))
        if self._retailer:
            self.blue_cherry.apply(self._retailer.catalogue())
        else:
            self.blue_cherry.apply(online_retail.changes(self._data))
        app = blue_cherry.create_app(self.blue_cherry, tenant=TENANT, environment=ENVIRONMENT, api_keys=[KEY])
        routes = [
            Route("/_control/retailer", self._advance_by_request, methods=["POST"]),
            Route("/_control/retailer", self._list_defects, methods=["GET"]),
            Mount("/", app=app),
        ]
        self.blue_cherry_url = self._serve(Starlette(routes=routes), self._ports[0])
        self.ometria_url = self._serve(ometria.create_app(self.account), self._ports[1])
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def environment(self) -> dict[str, str]:
        """The variables that point the project at this sandbox."""
        rules = RULES[self.tenant]
        return {
            "BLUE_CHERRY_BASE_URL": self.blue_cherry_url,
            "BLUE_CHERRY_TENANT": TENANT,
            "BLUE_CHERRY_ENVIRONMENT": ENVIRONMENT,
            "BLUE_CHERRY_API_KEY": KEY,
            "OMETRIA_BASE_URL": f"{self.ometria_url}/v2",
            "OMETRIA_API_KEY": self.account.settings.api_key,
            **({"BC_OMETRIA_RULES": str(rules)} if rules else {}),
        }

    def advance(self, to: datetime) -> int:
        """Let the retailer live until ``to`` (with an offset); how many rows changed."""
        with self._lock:
            changed = 0
            if self._retailer:
                local = to.astimezone(ZoneInfo(TIME_ZONE))
                changed = self.blue_cherry.apply(self._retailer.advance(local))
            self.clock.set(to)
            return changed

    def live(self, stop: threading.Event, every: timedelta = timedelta(seconds=1)) -> None:
        """Let the retailer live in the machine's time until ``stop`` is set."""
        machine = Clock()
        while not stop.wait(every.total_seconds()):
            self.advance(machine.now())

    async def _advance_by_request(self, request: Request) -> Response:
        try:
            to = datetime.fromisoformat((await request.json())["to"])
            if to.tzinfo is None:
                raise ValueError("the time needs an offset")
            changed = await run_in_threadpool(self.advance, to)
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"message": f'send {{"to": time with offset}}: {error}'}, status_code=400)
        return JSONResponse({"rows_changed": changed})

    async def _list_defects(self, request: Request) -> Response:
        planted = self._retailer.defects if self._retailer else []
        standing = [defect for defect in planted if defect.mended is None]
        return JSONResponse([{"kind": each.kind, "resource": each.resource, "key": each.key} for each in standing])

    def _serve(self, app: object, port: int) -> str:
        return self._open.enter_context(Server(app, port=port)).url  # type: ignore[arg-type]
