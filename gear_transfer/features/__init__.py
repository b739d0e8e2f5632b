"""From pixels to features: the backbone, its precision, and the extractor."""
