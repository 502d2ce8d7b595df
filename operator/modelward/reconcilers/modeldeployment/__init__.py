"""One reconcile of a ModelDeployment: observe, plan, apply what differs, one status patch."""
