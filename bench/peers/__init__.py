"""Other people's systems, installed at locked versions into environments of their own inside the clone, and run as they come.

None of them is part of this product: DBOS, procrastinate and pgqueuer (MIT), Buildbot (GPL-2.0), Restate's SDK (MIT) and
its server (Business Source License 1.1).
"""
