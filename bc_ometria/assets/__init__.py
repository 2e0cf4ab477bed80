"""Software-defined assets: each reads, calls pure functions, writes and reports."""
