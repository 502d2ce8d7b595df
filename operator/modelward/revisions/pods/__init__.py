"""What the pods of a revision are made of: containers, volumes, and what a user adds to them."""
