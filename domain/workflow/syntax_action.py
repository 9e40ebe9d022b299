"""The table of action.yml: the keys of each kind of action, their values, and the contexts that they can name.

At the top any key may stand beside the known ones, since GitHub lets actions carry their own; `runs` is strict.
"""

from domain.workflow.shapes import ANY_NUMBER, ANYTHING, BOOLEAN, NAME, TEXT, Keys, Scope, Shape, listed, mapping, one_of

NODE_VERSIONS = ("node12", "node16", "node20", "node24")
_HASH = ("hashFiles", 1, ANY_NUMBER)
_STATUS = (("always", 0, 0), ("cancelled", 0, 0), ("failure", 0, 0), ("success", 0, 0))
_DEFAULT = Scope(("github", "strategy", "matrix", "job", "runner"), (_HASH,))
_OUTPUT = Scope(("github", "strategy", "matrix", "steps", "inputs", "job", "runner", "env"))
_STEP = Scope(("github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env"), (_HASH,))
_CONDITION = Scope(_STEP.contexts, (*_STATUS, _HASH))
_CONTAINER = Scope(("inputs",))

_INPUT = mapping(
    "input",
    {"description": TEXT, "required": one_of(BOOLEAN, TEXT), "default": TEXT.within(_DEFAULT), "deprecationMessage": TEXT},
    loose=ANYTHING,
)
_ANY_STEP = {
    "name": TEXT.within(_STEP),
    "id": NAME,
    "if": Shape(text=True, condition=True, scope=_CONDITION),
    "continue-on-error": BOOLEAN.within(_STEP),
    "env": mapping("env", loose=TEXT).within(_STEP),
}
_RUN_STEP = mapping(
    "step",
    {**_ANY_STEP, "run": TEXT.within(_STEP), "shell": NAME.within(_STEP), "working-directory": TEXT.within(_STEP)},
    ["run", "shell"],
)
_USES_STEP = mapping("step", {**_ANY_STEP, "uses": NAME, "with": mapping("with", loose=TEXT).within(_STEP)}, ["uses"])
_BEFORE_AND_AFTER = {"pre-if": TEXT, "post-if": TEXT}
_RUNS = {
    "composite": mapping("runs", {"using": NAME, "steps": listed(one_of(_RUN_STEP, _USES_STEP))}, ["using", "steps"]),
    "node": mapping("runs", {"using": NAME, "main": NAME, "pre": NAME, "post": NAME, **_BEFORE_AND_AFTER}, ["using", "main"]),
    "docker": mapping(
        "runs",
        {
            "using": NAME,
            "image": NAME,
            "args": listed(TEXT.within(_CONTAINER)),
            "env": mapping("env", loose=TEXT.within(_CONTAINER)),
            "entrypoint": NAME,
            "pre-entrypoint": NAME,
            "post-entrypoint": NAME,
            **_BEFORE_AND_AFTER,
        },
        ["using", "image"],
    ),
    "plugin": mapping("runs", {"plugin": NAME}, ["plugin"]),
}


def _root(runs: Shape) -> Shape:
    outputs = mapping("outputs", loose=mapping("output", {"description": TEXT, "value": TEXT.within(_OUTPUT)}, loose=ANYTHING))
    keys = {
        "name": TEXT,
        "author": TEXT,
        "description": TEXT,
        "inputs": mapping("inputs", loose=_INPUT),
        "outputs": outputs,
        "branding": mapping("branding", {"icon": TEXT, "color": TEXT}),
        "runs": runs,
    }
    return Shape(mappings=[Keys("action", keys, ["runs"], ANYTHING)])


ROOTS = {kind: _root(runs) for kind, runs in _RUNS.items()}
UNDECIDED = _root(mapping("runs", {"using": NAME}, ["using"], loose=ANYTHING))
"""For a `runs` that does not say of what kind it is."""
