"""What one request may ask of a service."""
import collections

#: Bytes of a request; seconds for it to arrive, and for its answer; photographs in it; each at most.
Limits = collections.namedtuple("Limits", ["bytes", "seconds", "photographs"])

DEFAULT_LIMITS = Limits(20000000, 30.0, 32)
