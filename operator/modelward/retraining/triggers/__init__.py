"""What starts a retraining run elsewhere: one file a kind behind one interface."""
