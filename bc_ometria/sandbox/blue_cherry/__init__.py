"""A stand-in of Blue Cherry's HTTP API, as `contracts/blue_cherry.md` describes the reference tenant."""

from bc_ometria.sandbox.blue_cherry.app import create_app
from bc_ometria.sandbox.blue_cherry.database import BlueCherryDatabase

__all__ = ["BlueCherryDatabase", "create_app"]
