"""From a decoded request to the model's answer: the checks, the queue, the costs."""
