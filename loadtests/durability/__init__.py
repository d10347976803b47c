"""Durability: the gateway is killed and the power goes amid jobs, and all of them are spoken."""
