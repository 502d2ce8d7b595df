"""Values to plain-dict Kubernetes manifests and Envoy configuration. Pure."""
