"""Every fit is a version: list, compare, go back to, save."""
