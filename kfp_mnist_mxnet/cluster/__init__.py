"""What a step asks Kubernetes for: a job of several pods, or an experiment of several jobs.

Used from outside: Cluster and Kind (api.py), what creates, follows and deletes an object (job.py),
what a pod takes over from the step's (pod.py), why it failed (outcome.py).
"""
