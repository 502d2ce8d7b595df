"""What the monitors in model pods counted, added up to windows."""
