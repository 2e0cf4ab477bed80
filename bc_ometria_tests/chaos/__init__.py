"""Chaos: the real project under Dagster, killed, doubled and cut off from its database; and the truths that hold after
each (design, "What must always be true").

``make test`` runs the short form, ``make chaos`` the long one. A scenario is a function: it runs once as it is, and
once with a planted defect that a named truth must catch.
"""

import os

import pytest

LONG = os.environ.get("CHAOS") == "long"
"""Whether everything runs, with progress lines, as ``make chaos`` asks for."""

long_form = pytest.mark.skipif(not LONG, reason="runs with make chaos")
