"""`rerun RUN[/JOB]`: another run attempt of a run that is over, as `gh run rerun`: all jobs, the failed ones, or one."""

import click

from gateway.cli import render
from gateway.cli.connect import connected
from gateway.cli.errors import usage
from gateway.cli.options import Target, json_option, run_argument, target_options
from gateway.cli.resolve import find_jobs, find_run, split


@click.command("rerun")
@click.option("--failed", is_flag=True, help="Only the jobs that failed, and what depends on them.")
@json_option
@run_argument
@target_options
def rerun(*, target: Target, run: str, failed: bool, as_json: bool) -> None:
    """Run RUN again, or only RUN/JOB and what depends on it. Logs and events of earlier run attempts stay."""
    words = split(run)
    if failed and words.rest:
        raise usage("--failed chooses the jobs itself", "give RUN without /JOB, or leave --failed out")
    with connected(target) as client:
        found = find_run(client, words.run)
        path = f"/runs/{found['id']}/{'rerun-failed' if failed else 'rerun'}"
        if words.rest:
            jobs, step = find_jobs(list(client.items(f"/runs/{found['id']}/jobs")), words.rest)
            if step or len(jobs) > 1:
                names = ", ".join(str(job["name"]) for job in jobs)
                what = "is a step" if step else f"may mean any of {names}"
                raise usage(f'"{words.rest}" {what}', "name one job, as `ledgermill runs view` shows it")
            path = f"/jobs/{jobs[0]['id']}/rerun"
        answer = client.post(path)
    if as_json:
        render.print_json(answer)
    else:
        name = f"{found['workflow']}#{found['number']}"
        click.echo(f"run attempt {answer['run_attempt']} of {name} began; ledgermill watch {found['id'][:8]}", err=True)
