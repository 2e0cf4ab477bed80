"""The way from the outbox to Ometria: send what is wanted, learn what was refused, prove what is there."""
