"""The written forms of a finding."""

import re
from pathlib import Path

from domain.workflow import codes
from domain.workflow.diagnostics import Diagnostic, annotation, as_json, errors, human, sarif
from domain.workflow.reader import read
from domain.workflow.syntax import ROOT

TEXT = "on: push\njobs:\n  test:\n    run-on: ubuntu-latest\n    runs-on: x\n    steps:\n      - run: echo ${{ stepz.x }}\n"


def found():
    return read("ci.yml", TEXT)[1]


def test_one_line_names_file_place_message_and_code():
    """`file:line:col: message [CODE]`, with the column of the exact part."""
    assert [each.one_line() for each in found()] == [
        'ci.yml:4:5: unknown key "run-on" in job "test" [WF014]',
        'ci.yml:7:23: there is no context "stepz" [EX003]',
    ]


def test_the_human_form_shows_the_line_with_carets():
    """What, where, the line, carets under the exact part, and what to do."""
    assert human(found()[0], TEXT).split("\n") == [
        'error[WF014]: unknown key "run-on" in job "test"',
        "  --> ci.yml:4:5",
        "  |",
        "4 |     run-on: ubuntu-latest",
        "  |     ^^^^^^",
        'help: did you mean "runs-on"?',
    ]
    assert human(found()[1], TEXT).split("\n")[3:6] == [
        "7 |       - run: echo ${{ stepz.x }}",
        "  |                       ^^^^^",
        'help: did you mean "steps"?',
    ]


def test_json_and_annotation_and_sarif_agree_on_the_place():
    """All forms name the same line and column."""
    one = found()[1]
    assert {name: as_json(one)[name] for name in ("code", "line", "column", "end_column")} == {
        "code": "EX003",
        "line": 7,
        "column": 23,
        "end_column": 28,
    }
    assert annotation(one).startswith("::error file=ci.yml,line=7,col=23,title=EX003::there is no context")
    region = sarif([one], codes.EXPLANATIONS, "0")["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 7, "startColumn": 23}


def test_an_annotation_escapes_what_would_end_it():
    """Commas, colons, percent signs and line ends of file and message cannot break out."""
    made = Diagnostic(code="WF001", severity="error", message="50%\nmore", line=1, column=2, file="a,b:c.yml")
    assert annotation(made) == "::error file=a%2Cb%3Ac.yml,line=1,col=2,title=WF001::50%25%0Amore"


def test_control_characters_of_the_file_never_reach_the_terminal():
    """A key with an escape sequence is shown without it."""
    text = 'on: push\njobs: {}\n"\\e[31mred": 1\n'
    shown = "\n".join(human(each, text) for each in read("ci.yml", text)[1])
    assert "\x1b" not in shown
    assert "red" in shown


def test_a_warning_is_not_an_error():
    """Warnings are told apart in every form and do not make a file invalid."""
    workflow, all_ = read("ci.yml", "on: {schedule: [{cron: '* * * * *'}]}\njobs: {a: {runs-on: x}}\n")
    assert workflow is not None
    assert errors(all_) == []
    assert all_[0].one_line().startswith("ci.yml:1:24: warning: ")


def test_every_code_that_the_language_can_report_is_explained():
    """Codes in the sources and codes in the table are the same."""
    table = Path(codes.__file__)
    sources = [path.read_text() for path in table.parent.glob("*.py") if path != table]
    used = {code for source in sources for code in re.findall(r'"((?:WF|EX)\d{3})"', source)}
    assert used == set(codes.EXPLANATIONS)
    assert codes.explain("wf014") == codes.EXPLANATIONS["WF014"]
    assert codes.explain("WF999") is None


def test_the_table_of_the_syntax_knows_the_root():
    """The root of the syntax is a mapping that needs on and jobs."""
    assert ROOT.mappings[0].required == ("on", "jobs")
