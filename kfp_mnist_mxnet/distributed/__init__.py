"""Training on several nodes, through MXNet's parameter server.

Each node trains on its part of every batch, and all have the same parameters after every update:
those, bit for bit, that one node alone would have.

Used from outside: launch (launch.py), Options (options.py).
"""
