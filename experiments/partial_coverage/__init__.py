"""Partial coverage and HyPO: what unlabelled on-policy samples buy when the labels are offline and fixed."""
