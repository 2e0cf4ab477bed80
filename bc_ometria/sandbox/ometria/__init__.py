"""A stand-in of Ometria's Data API v2: ``contracts/ometria.md``, over real HTTP.

``account.py`` holds the state, ``app.py`` serves it. What the contract marks ``?`` is a switch in
``settings.py``; what goes wrong on demand is in ``faults.py``.
"""

from bc_ometria.sandbox.ometria.account import Account
from bc_ometria.sandbox.ometria.app import create_app
from bc_ometria.sandbox.ometria.faults import Fault
from bc_ometria.sandbox.ometria.settings import Settings

__all__ = ["Account", "Fault", "Settings", "create_app"]
