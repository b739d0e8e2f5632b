"""From features to classes: the head, the whole classifier, and its file."""
