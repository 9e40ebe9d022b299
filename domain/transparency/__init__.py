"""What makes a log tamper-evident: a Merkle tree over its bytes (RFC 9162), and checkpoints of it as signed notes (C2SP).

Pure: hashing, proofs and text. The key that signs is elsewhere; here a signature is bytes that somebody made.
"""
