"""Values of the API that are more than a string: durations, quantities, times. Pure."""
