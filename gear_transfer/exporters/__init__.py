"""Saved classifiers in the formats of other programs; what they need is imported when it is used."""
