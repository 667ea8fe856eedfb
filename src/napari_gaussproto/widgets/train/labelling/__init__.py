"""Classes and labels: choose, change, import."""
