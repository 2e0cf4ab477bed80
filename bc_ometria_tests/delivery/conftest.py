"""The outbox with a real stand-in of Ometria behind it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from bc_ometria.ometria.budget import Unlimited
from bc_ometria.ometria.client import OmetriaClient
from bc_ometria_tests.delivery.outgoing import Outgoing
from bc_ometria_tests.sandbox.ometria_stand_in import stand_in


@pytest.fixture
def out(engine: Engine) -> Iterator[Outgoing]:
    with stand_in(error_shape="observed") as ometria:
        ometria.account.clock.set(None)  # the outbox's times are the machine's
        key = ometria.account.settings.api_key
        with OmetriaClient(str(ometria.api.base_url), key, budget=Unlimited(), timeout=20) as client:
            yield Outgoing(engine, client, ometria)
