"""Flux's kustomize-controller for real, on an API server without nodes (`make check-flux`): not in `make test`, since
it is built for up to an hour, once.

source-controller does not run: its part, a commit packed and told in a GitRepository's status, is the tests' own.
"""
