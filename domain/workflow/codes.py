"""Every code that a diagnostic of a workflow can carry, with the explanation that `ledgermill explain CODE` shows.

Codes are stable: one is never reused for something else. WF0xx the file as GitHub judges it, WF1xx what GitHub decides
when a run is planned, WF2xx what GitHub runs and this version does not yet, WF3xx inputs given to a dispatch, WF4xx
what would surprise, WF5xx what a stranger could abuse; EX0xx expressions.
"""

EXPLANATIONS: dict[str, str] = {
    "WF001": "The file is not YAML. The message names what the parser met and where; look one line above as well, since an"
    " unclosed quote or bracket is noticed late.",
    "WF002": "GitHub reads workflow files of up to 1 MiB. Move long scripts into files of the repository.",
    "WF003": "GitHub reads values that are nested up to 50 levels deep.",
    "WF004": "GitHub reads up to 50,000 values in a file, where an alias counts as often as it is used. A file that is over"
    " it is usually an alias bomb.",
    "WF005": "Only the tags of YAML's core schema can be used (!!str, !!int, !!float, !!bool, !!null, !!seq, !!map), and the"
    " value must be one that the tag allows.",
    "WF006": "An alias (*name) repeats a value that was marked with an anchor (&name) earlier in the file; the anchor must"
    " stand before it and must not contain it.",
    "WF007": "A workflow file is a single YAML document; a line with --- starts another one.",
    "WF008": "The file says nothing. A workflow needs at least `on` and `jobs`.",
    "WF011": "The same key twice in one mapping. Keys are compared without regard to case.",
    "WF012": "A key that this mapping must have is missing.",
    "WF013": "A list or a mapping stands where another kind of value is expected.",
    "WF014": "The key is not one that GitHub knows at this place. A misspelled key would be ignored silently by a lenient"
    " reader, so it is an error.",
    "WF015": "The value is not one that this key can have.",
    "WF016": "The keys of this mapping fit several kinds of things, or none, so one key is missing that says which.",
    "WF017": "Keys are single values; a list or a mapping cannot be a key.",
    "WF020": "Expressions (${{ }}) are not evaluated at this place, so one cannot be used here.",
    "WF021": "After ${{ the closing }} is missing. Quotes inside an expression are single quotes.",
    "WF022": "There is nothing between ${{ and }}.",
    "WF023": "`${{ insert }}` can only be a key of its own, with nothing beside it.",
    "WF030": "Ids consist of letters, digits, _ and -, begin with a letter or _, have fewer than 100 characters and do not begin"
    " with __ (generated ids do).",
    "WF031": "An id was given twice in the same job. Ids are compared without regard to case.",
    "WF032": "`needs` names a job that the file does not have.",
    "WF033": "Jobs that need each other in a circle can never start.",
    "WF034": "Every job needs another one, so none could start first.",
    "WF041": "A container or service needs an image.",
    "WF042": "A runner group is a name, or a name with the prefix organization/ or enterprise/.",
    "WF043": "A schedule is five fields (minute hour day month weekday) of POSIX cron; names of months and days may be used,"
    " @daily and the like may not. A time zone is"
    " a name of the IANA database, such as Europe/Berlin.",
    "WF044": "The declaration of an input is contradictory: its default must have its type, and options belong to type choice.",
    "WF045": "The called workflow and the call do not fit: it must exist and listen to workflow_call, get every required input and"
    " secret and none that it does not declare.",
    "WF046": "Workflows call each other up to ten levels deep, and a file may start a limited number of workflows.",
    "WF047": "A called workflow can be given at most the permissions that its caller has.",
    "WF048": "The workflow has more jobs than the limit allows.",
    "WF049": "A single string with expressions may have up to 21,000 characters. Move the script into a file.",
    "WF050": "`wait` and `cancel` name steps that come before them in the job.",
    "WF051": "A `parallel` group holds plain `run` and `uses` steps.",
    "WF052": "`runs.using` of an action is composite, docker, node20 or node24 (node12 and node16 are still read).",
    "WF053": "A step uses OWNER/REPOSITORY@REF, OWNER/REPOSITORY/PATH@REF, an action of the checked-out repository (./PATH), or"
    " docker://IMAGE. GitHub's parser reads anything else too, and its server then refuses the file.",
    "WF100": "A matrix makes at most 256 jobs.",
    "WF101": "The matrix, once evaluated, must be a mapping of names to lists; include and exclude are lists of mappings.",
    "WF102": "The expression failed when the job was planned, with the values that it had then.",
    "WF103": "`runs-on` must evaluate to a label or a list of labels, and to at least one.",
    "WF104": "The value must evaluate to a number of minutes above zero.",
    "WF105": "LEDGERMILL_RETRY is a list of name=value: max, on, backoff, cap and within, as in"
    ' "max=3 on=lost,failed backoff=5s cap=5m within=1h".',
    "WF106": "The value must evaluate to true or false.",
    "WF107": "A concurrency group must have a name once it is evaluated; and `queue: max` keeps those that wait, so it cannot be"
    " combined with cancel-in-progress.",
    "WF108": "A workflow of another repository is fixed at a commit when the run is planned: the repository must be at hand, and"
    " the ref (a tag, a branch or a commit's full SHA) and the file must be in it.",
    "WF201": "Containers and services are not run yet.",
    "WF202": "Of all actions only actions/checkout is run yet; other steps need `run`.",
    "WF301": "The workflow does not declare this input.",
    "WF302": "The workflow requires this input and it was not given.",
    "WF303": "The input was given a value that its type does not allow.",
    "WF401": "GitHub starts schedules at most once every five minutes, so a shorter one fires less often than it says.",
    "WF402": "The default is none of the options, so a dispatch that gives no value would be refused.",
    "WF403": "A condition with text around ${{ }} is a text that is not empty, and so always true.",
    "WF404": "An event takes either a filter or its -ignore twin: GitHub's parser reads both, and its server then refuses the"
    ' file, as does a run here. A filter can exclude as well, with patterns that begin with "!".',
    "WF405": "The filter pattern is broken, so no branch, tag or path ever matches it, and the event starts nothing.",
    "WF501": "A value that a stranger decides (a title, a branch name, a comment) is pasted into a script by ${{ }} before the"
    " shell reads it, so a crafted one runs as code. Pass it by env and use the variable in quotes.",
    "EX001": "The expression holds something that is no token of the expression language. Strings stand in single quotes.",
    "EX002": "The expression is incomplete, or its parts stand in an order that the language does not allow.",
    "EX003": "The context is not available at this key. GitHub evaluates keys at different times; the message lists what"
    " is available here.",
    "EX004": "There is no such function, or it is not available at this key, or it has the wrong number of arguments.",
}


def explain(code: str) -> str | None:
    """The explanation of a code, or None for an unknown one."""
    return EXPLANATIONS.get(code.upper())
