"""BatchInferences: their runs begun, watched and told of."""
