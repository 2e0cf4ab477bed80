"""``make soak``: the real daemon keeps up with a shop that does not stand still, and it is proved that it did.

It is a check with a verdict, and beside it the figures: like every benchmark it needs the machine for itself, and what
it promises is a time that no test may assert. Its parts are tested in ``bc_ometria_tests/test_soak.py``.
"""
