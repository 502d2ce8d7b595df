"""Attacks that take what is not here: a kubelet, a network that enforces policies, a cloud."""

from attack.attack import not_tried

not_tried(
    "requests from any pod",
    "nobody but router, operator and scrapers connects to model pods",
    "a network plugin that enforces NetworkPolicies",
)
not_tried("training pods that reach their node", "no training Job reaches beyond its pods", "a kubelet")
not_tried("the node's own role at the store", "a download uses no credentials of the node", "a cloud's node")
