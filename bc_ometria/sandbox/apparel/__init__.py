"""`apparel`: a generated fashion retailer, as rows for the stand-in of Blue Cherry (`docs/apparel.md`)."""

from bc_ometria.sandbox.apparel.retailer import Apparel
from bc_ometria.sandbox.apparel.simulation import Defect

__all__ = ["Apparel", "Defect"]
