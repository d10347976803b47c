"""The metrics exporter: an independent eye on the gateway, supervisord, the disk and the files."""
