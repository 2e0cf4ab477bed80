"""What the project remembers, in PostgreSQL: the mirror, the assembled orders, the outbox and the exceptions."""
