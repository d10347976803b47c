"""The Wyoming protocol, by which Home Assistant has its answers spoken."""
