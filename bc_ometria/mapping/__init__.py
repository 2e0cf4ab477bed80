"""Pure functions from Blue Cherry's rows to Ometria's records: no I/O, no clock, no Dagster."""
