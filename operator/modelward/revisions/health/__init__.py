"""What keeps pods from coming up: one cause and one cure."""
