"""The border to CGS Blue Cherry: read its rows, and let only well-formed ones in.

``TenantProfile`` says how a tenant speaks, ``BlueCherryClient`` reads pages of its rows, ``typed_rows`` makes
a typed frame of them and holds what is malformed, ``SCHEMAS`` says what a well-formed frame is. Nothing here
ever writes to Blue Cherry.
"""

from bc_ometria.blue_cherry.client import BlueCherryClient, Page
from bc_ometria.blue_cherry.errors import (
    AccessRefused,
    BadRequest,
    BlueCherryError,
    MissingColumn,
    NotFound,
    NotJson,
    Unavailable,
)
from bc_ometria.blue_cherry.profile import TenantProfile
from bc_ometria.blue_cherry.rows import TypedRows, typed_rows
from bc_ometria.blue_cherry.schemas import RESOURCES, SCHEMAS

__all__ = [
    "RESOURCES",
    "SCHEMAS",
    "AccessRefused",
    "BadRequest",
    "BlueCherryClient",
    "BlueCherryError",
    "MissingColumn",
    "NotFound",
    "NotJson",
    "Page",
    "TenantProfile",
    "TypedRows",
    "Unavailable",
    "typed_rows",
]
