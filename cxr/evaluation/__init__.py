"""How good a model is, on which patients, and how sure we are."""
