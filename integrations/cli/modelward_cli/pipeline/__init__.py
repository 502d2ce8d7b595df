"""What a pipeline does with a cluster: deploy a version, wait for its rollout, read drift and quality, score a batch.

The rules are here, once; the command line, Airflow and Prefect are thin around them.
"""
