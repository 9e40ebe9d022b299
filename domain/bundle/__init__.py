"""A run as one signed file: its events as they are stored, what their digests stand for, and its provenance.

Pure: lines of text in, lines of text out. Line 1 is the manifest in its envelope; it tells the digest of each line that follows,
so that a file that was cut, edited or put together anew is refused, and it is said at which line.
"""
