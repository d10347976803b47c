"""The wire between gateway and workers: frames, messages, and a channel for each end."""
