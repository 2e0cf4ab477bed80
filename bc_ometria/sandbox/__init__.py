"""Stand-ins of Blue Cherry and Ometria: real HTTP servers with data, state and faults on demand.

Nothing in here imports the rest of the project, so that the two can disagree.
"""
