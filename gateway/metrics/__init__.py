"""`GET /metrics`: the figures of a server in Prometheus' text format.

`registry` names them all; `tallies` holds what this process counts by itself; `samples` puts the figures of the log, of
this process and of the views in the registry's shape; `exposition` writes them. Nothing is asked of the database but
when somebody scrapes, and then at most once a second.
"""
