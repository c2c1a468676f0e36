"""Attune: learn, measure and explain behaviour in annotated video.

Imports point one way: ``params, artifacts <- annotation <- video <- learning <- attention <- systems <- stages``.
"""

__version__ = "0.1.0"
