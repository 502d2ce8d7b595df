"""One reconcile of a DriftPolicy: look, decide, do what is stored as due, one status patch."""
