"""References: what a model's inputs and outputs looked like in training, against which drift is judged."""
