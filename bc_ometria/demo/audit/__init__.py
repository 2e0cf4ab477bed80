"""An independent proof: reads both stand-ins and compares them, with arithmetic of its own.

Nothing here uses the project's mapping, mirror or contracts. It reads Blue Cherry's rows with a bare HTTP
client, works out each order by itself in decimals, and holds that against what Ometria stores. Of the project
it takes only the YAML of the rules, because they are the retailer's choices, and the reasons for what is held.
"""

from bc_ometria.demo.audit.account import Account, EventAccount
from bc_ometria.demo.audit.contacts import audit_contacts
from bc_ometria.demo.audit.events import audit_events
from bc_ometria.demo.audit.orders import audit_orders
from bc_ometria.demo.audit.reading import read_blue_cherry, read_ometria

__all__ = [
    "Account",
    "EventAccount",
    "audit_contacts",
    "audit_events",
    "audit_orders",
    "read_blue_cherry",
    "read_ometria",
]
