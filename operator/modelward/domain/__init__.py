"""Decisions: values in, values out. No I/O, no clock, no Kubernetes manifests."""
