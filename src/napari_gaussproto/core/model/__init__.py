"""The model as a whole: segment images, describe it, save and load it."""
