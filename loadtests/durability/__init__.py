"""Durability: the gateway is killed and the power goes amid jobs, and all of them are spoken."""

CONTROL = "--control"
"""What tells the processes of a control from those whose database forces what it commits to the disk."""
