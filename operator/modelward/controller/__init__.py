"""The reconcile loop: observe, plan, apply, one status patch."""
