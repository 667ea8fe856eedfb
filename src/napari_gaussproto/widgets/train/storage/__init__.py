"""Saves what a person does as they do it, and brings it back."""
