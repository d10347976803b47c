"""The gateway: HTTP in front, the dispatcher and the workers' lives behind."""
