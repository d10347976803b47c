"""The appliance's first process: config check, listening sockets, supervisord's parent, the exit code."""
