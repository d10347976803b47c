"""What runs: one package for each program of the appliance.

A program may use `appliance`; it never imports another program.
"""
