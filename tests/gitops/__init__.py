"""What GitOps tools make of our objects, by their own libraries: no Argo CD and no Flux has to run for it."""
