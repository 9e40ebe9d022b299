"""The composition root of the server: plain constructor calls, and the only package of the gateway that knows infra.

`system` starts the parts that the given roles ask for on one database and stops them in order. What it needs of infra is
imported inside functions, so that the command line can start the embedded servers before Python loads the rest.
"""

from gateway.wiring.embedded import embedded_error, embedded_versions, load, local_runners, start_embedded, trampoline
from gateway.wiring.gateway import tls
from gateway.wiring.parts import Places
from gateway.wiring.process import ROLES, Role, System, collect_rarely, system
from gateway.wiring.signer import rotate, signer

__all__ = [
    "ROLES",
    "Places",
    "Role",
    "System",
    "collect_rarely",
    "embedded_error",
    "embedded_versions",
    "load",
    "local_runners",
    "rotate",
    "signer",
    "start_embedded",
    "system",
    "tls",
    "trampoline",
]
