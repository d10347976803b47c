"""What the appliance can carry: measured against a real one, never part of it."""
