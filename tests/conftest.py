"""Settings that all tests share."""

from __future__ import annotations

from hypothesis import settings

# A loaded machine must not fail a property test for being slow; a failure must come with what repeats it.
settings.register_profile("lmkd", deadline=None, print_blob=True)
settings.load_profile("lmkd")
