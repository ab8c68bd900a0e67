"""How a component becomes one for a target, and how its code gets to a step.

step.py has the decorator of a component, target.py what a pipeline is compiled for.
"""
