"""Ometria's side: what a valid record is, the Data API client and its budget of calls.

Knows nothing of Blue Cherry, the store or Dagster.
"""
