"""Serves a model on this machine by KServe's model server."""
