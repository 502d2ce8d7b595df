"""Lineage out of the cluster: rollouts and retraining runs as OpenLineage events."""
