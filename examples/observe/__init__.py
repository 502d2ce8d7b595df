"""`make observe`: Prometheus and Alertmanager beside the demo, with the jobs and rules of manifests/."""
