"""The monitor: a sidecar that counts what a model is asked and answers, against the model's reference.

It stands beside the server in the pod, takes rows over a Unix socket or as KServe's CloudEvents, and keeps nothing of
them but counts. What it shows and acknowledges is on its disk, so that it may die at any moment.
"""
