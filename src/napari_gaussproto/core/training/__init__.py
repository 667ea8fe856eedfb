"""How a model learns: full fit, quick fit, fine-tune, trial fit."""
