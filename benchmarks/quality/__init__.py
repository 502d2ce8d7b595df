"""What the evaluation of outcomes costs."""
