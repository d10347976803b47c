"""The ledger: load with faults, and a comparison of what clients saw with what the appliance wrote down."""
