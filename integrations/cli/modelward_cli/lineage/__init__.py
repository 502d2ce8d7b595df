"""What made an answer: of which revision it is, and where that came from. Pure but for `answers`, which asks pods."""
