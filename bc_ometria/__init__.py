"""Keeps Ometria true to CGS Blue Cherry: a Dagster project."""
