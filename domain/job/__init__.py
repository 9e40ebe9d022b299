"""One job: the life from created to done; attempts, leases, epochs and steps. The chart stands in docs/."""
