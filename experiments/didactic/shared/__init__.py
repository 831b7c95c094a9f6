"""Kits that several of the didactic experiments use."""
