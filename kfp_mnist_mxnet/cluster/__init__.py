"""What a step asks Kubernetes for: a job of several pods, or an experiment of several jobs.

Used from outside: Cluster, Kind (api.py), Owner (job.py).
"""
