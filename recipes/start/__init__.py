"""A start that knows fields: a backbone and a neck trained for heads that few strokes make."""
