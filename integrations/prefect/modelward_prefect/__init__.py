"""Prefect around modelward_cli.pipeline: a block, and tasks."""

from modelward_prefect.block import ModelwardCluster
from modelward_prefect.tasks import deploy_version, read_drift, read_quality, run_batch, wait_for_rollout

__version__ = "0.1.0"

__all__ = ["ModelwardCluster", "deploy_version", "read_drift", "read_quality", "run_batch", "wait_for_rollout"]
