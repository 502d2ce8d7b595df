"""What following models in registries costs these."""
