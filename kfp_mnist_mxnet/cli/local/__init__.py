"""Runs on this machine: run, runs, compare, and the page of a run."""
