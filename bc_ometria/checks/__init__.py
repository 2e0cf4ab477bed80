"""Contracts of the data (pandera), and asset checks of what is open now."""
