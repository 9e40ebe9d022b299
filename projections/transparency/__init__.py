"""The Merkle tree over the log as it is stored, who makes it grow, and the proofs that are made of it."""
