"""The frame of the command line: fast help, exit codes, errors in words."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main as cli
from gateway.cli.codes import EXPLANATIONS, explain
from gateway.cli.errors import CliError
from tests.yardstick import in_time

HEAVY = ("fastapi", "starlette", "uvicorn", "psycopg", "nats", "aiohttp", "rich", "eventsourcing", "yaml", "asyncio", "http.client")


def test_help_imports_nothing_heavy():
    """`--help` answers from a table: neither web framework nor database driver, broker, HTTP client or drawing library."""
    code = "import sys; from gateway.cli.main import main; main(['--help']); print('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "click" in loaded
    assert [name for name in HEAVY if name in loaded] == []
    assert "replay" in done.stdout


def test_lint_imports_nothing_of_runs_and_ends_at_once(tmp_path):
    """Of the language it needs the reading, not the evaluation; and where nothing was started, nothing is waited for."""
    (tmp_path / "ci.yml").write_text("on: push\njobs:\n  a: {runs-on: linux, steps: [{run: a}]}\n")
    code = (
        "import atexit, sys; from gateway.cli.main import main; atexit.register(print, 'taken apart'); "
        "main(['lint', 'ci.yml']); print(*sys.modules); sys.argv[1:] = ['lint', 'ci.yml']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "domain.workflow.reader" in loaded
    heavy = {*HEAVY, "hashlib", "subprocess", "domain.workflow.evaluation"} - {"yaml"}
    assert heavy & loaded == set()
    assert "taken apart" not in done.stdout


def test_help_answers_within_its_budget():
    """One of ten starts takes under 120 ms of the reference machine's processor time: what is imported counts."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (used.ru_utime + used.ru_stime) * 1000

    def start() -> float:
        before = spent()
        subprocess.run([sys.executable, "-c", "from gateway.cli.main import main; main(['--help'])"], stdout=subprocess.DEVNULL, check=True)
        return spent() - before

    assert any(in_time(start(), 120) for _ in range(10))


def test_every_verb_can_be_imported_and_has_a_help_text():
    """A verb in the table is a command, and its line in the table is not its only explanation."""
    for name in cli.VERBS:
        command = cli.cli.get_command(None, name)  # type: ignore[arg-type]  # no context is needed to find a verb
        assert command is not None, name
        assert command.help, name


@pytest.mark.parametrize(
    "arguments", [["nope"], ["runs", "nope"], ["runs", "list", "--nope"], ["logs"], ["run", "--progress", "loud"], ["explain"]]
)
def test_a_wrong_command_line_exits_64_and_says_where_to_look(ledgermill, arguments):
    """Usage errors are told apart from failures by the exit code, and nothing is printed on standard output."""
    said = ledgermill(*arguments)
    assert said.code == 64
    assert said.out == ""
    assert "error[CLI001]" in said.err
    assert "--help" in said.err


def test_a_verb_without_server_and_history_says_how_to_get_one(ledgermill):
    """Nothing there is "not found" (5), with the directory and the two ways on."""
    said = ledgermill("runs", "list")
    assert said.code == 5
    assert "error[CLI003]" in said.err
    assert "ledgermill run" in said.err
    assert "ledgermill up" in said.err


def test_a_mistake_of_our_own_is_a_sentence_and_a_file(ledgermill, monkeypatch, tmp_path):
    """A stack trace is for the file whose path is shown, never for the terminal."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("gateway.cli.queue.connected", lambda _target: 1 // 0)
    said = ledgermill("queue")
    assert said.code == 1
    assert said.err.startswith("error[CLI099]: ZeroDivisionError")
    assert "Traceback" not in said.err
    path = Path(re.search(r"report it with (\S+),", said.err)[1])
    assert "Traceback" in path.read_text()


def test_an_error_has_code_place_cause_and_help_in_this_order():
    """The form that experience of good compilers taught people to read."""
    error = CliError("RUN005", "no runner has the label gpu", place="ci.yml:3:5", because="job a asks for it", help="--labels gpu")
    expected = "error[RUN005]: no runner has the label gpu\n  --> ci.yml:3:5\nbecause: job a asks for it\nhelp: --labels gpu"
    assert error.render() == expected
    assert error.render(colour=True).startswith("\x1b[1;31merror[RUN005]\x1b[0m:")


def test_every_code_in_the_sources_has_an_explanation():
    """`ledgermill explain CODE` knows every code that the command line can print."""
    sources = Path(cli.__file__).parent.glob("*.py")
    used = {code for source in sources for code in re.findall(r'"((?:CLI|RUN|API|EMB|STO|SRV|RNR)\d{3})"', source.read_text())}
    assert used
    assert [code for code in sorted(used) if explain(code) is None] == []


@pytest.mark.parametrize("code", ["RUN005", "run005", "WF014"])
def test_explain_knows_codes_of_all_parts_in_any_case(ledgermill, code):
    """The codes of workflow files and of the command line are explained by one verb."""
    said = ledgermill("explain", code)
    assert said.code == 0
    assert said.out.startswith(code.upper())


def test_explain_of_an_unknown_code_is_not_found(ledgermill):
    """Exit 5, as for everything that is not there."""
    assert ledgermill("explain", "XX999").code == 5


def test_version_and_config_are_known_without_a_server(ledgermill, monkeypatch):
    """Both print what is installed and set; a secret setting is not shown."""
    monkeypatch.setenv("LEDGERMILL_DATABASE_URL", "postgresql://ci:hunter2@db/ci")
    assert re.match(r"ledgermill \d+\.\d+\.\d+", ledgermill("version").out)
    said = ledgermill("config", "--json")
    settings = {row["name"]: row for row in said.json()}
    assert settings["lease_ttl_seconds"]["value"] == 30
    assert settings["database_url"] == {"name": "database_url", "value": "(set)", "from": "LEDGERMILL_DATABASE_URL"}
    assert "hunter2" not in said.out + ledgermill("config").out


def test_a_setting_of_the_wrong_kind_is_named(ledgermill, monkeypatch):
    """The message has the value's place, not a traceback."""
    monkeypatch.setenv("LEDGERMILL_LEASE_TTL_SECONDS", "soon")
    said = ledgermill("config")
    assert said.code == 1
    assert "error[CLI002]" in said.err
    assert "lease_ttl_seconds" in said.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(ledgermill, shell):
    """The script names the program and its variable."""
    said = ledgermill("completion", shell)
    assert said.code == 0
    assert "_LEDGERMILL_COMPLETE" in said.out


def test_completion_completes_verbs():
    """What a shell asks for while a word is typed is answered with the verbs that begin so."""
    env = {**os.environ, "_LEDGERMILL_COMPLETE": "bash_complete", "COMP_WORDS": "ledgermill repl", "COMP_CWORD": "1"}
    code = "import sys; from gateway.cli.main import main; sys.exit(main([]))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "plain,replay"


def test_a_reader_that_leaves_early_is_no_error():
    """`ledgermill --help | head -1` ends quietly."""
    code = "import sys; from gateway.cli.main import main; sys.exit(main(['--help']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        child.stdout.close()
        err = child.stderr.read()
        assert child.wait(10) == 0
    assert err == b""


def test_explanations_are_sentences():
    """Each explanation is more than a repetition of the message."""
    assert all(len(text.split()) > 8 and text.endswith(".") for text in EXPLANATIONS.values())
