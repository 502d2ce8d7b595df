"""The loops that bring the cluster to what was asked for."""
