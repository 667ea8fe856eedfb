"""Projects on disk: labels, and every version of the model, each stored once."""
