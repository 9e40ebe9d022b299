"""Provenance: what was built by which workflow from which source, as in-toto Statement v1 with SLSA provenance v1 in DSSE.

Pure: made from a run's events alone, so the same log gives the same bytes at any time. The key that signs is elsewhere; here a
signature is bytes that somebody made.
"""

from domain.provenance.build import attested, provenance, streams
from domain.provenance.statement import PAYLOAD_TYPE, Statement, canonical, read_statement

__all__ = ("PAYLOAD_TYPE", "Statement", "attested", "canonical", "provenance", "read_statement", "streams")
