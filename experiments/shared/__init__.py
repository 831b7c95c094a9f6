"""Kits that several families use: arms at equal labels, predictors, samplers, draws of policies."""
