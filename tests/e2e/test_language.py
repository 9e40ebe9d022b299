"""A workflow that uses each feature of the language once runs end to end, and the log holds the events that it must."""

import json
from collections import Counter

import pytest

pytestmark = pytest.mark.timeout(180)

EVERYTHING = """\
name: Everything
run-name: all of ${{ github.event_name }}
on:
  push:
    branches: [main, 'release/**']
    paths-ignore: ['*.md']
  pull_request:
    types: [opened]
  schedule:
    - {cron: '0 6 * * 1', timezone: Europe/Berlin}
  workflow_dispatch:
    inputs:
      who: {type: string, default: world}
permissions: {contents: read}
env: {WORD: workflow, WHERE: workflow}
defaults: {run: {shell: bash}}
concurrency: {group: 'all-${{ github.ref }}', cancel-in-progress: false}
jobs:
  build:
    name: Build ${{ github.ref_name }}
    runs-on: ubuntu-latest
    timeout-minutes: 5
    cancel-timeout-minutes: 1
    env: {WHERE: job}
    defaults: {run: {working-directory: sub}}
    outputs:
      numbers: ${{ steps.list.outputs.numbers }}
      from-background: ${{ steps.slow.outputs.value }}
    steps:
      - uses: actions/checkout@v4
      - id: slow
        name: Slow
        background: true
        run: |
          until test -e go; do sleep 0.05; done
          echo "value=late" >> "$GITHUB_OUTPUT"
          echo "EXPORTED=yes" >> "$GITHUB_ENV"
      - id: server
        background: true
        run: touch up; sleep 1000
      - id: list
        run: |
          until test -e up; do sleep 0.05; done
          echo "numbers=[1, 2, 3]" >> "$GITHUB_OUTPUT"
          echo "$WORD $WHERE $STEP $(basename "$PWD") [${{ steps.slow.outputs.value }}$EXPORTED]"
          touch go
        env: {STEP: 'step ${{ env.WORD }}'}
      - {id: arrived, wait: slow}
      - run: echo "${{ steps.slow.outputs.value }} $EXPORTED ${{ steps.arrived.outcome }} ${{ hashFiles('sub/**') != '' }}"
      - cancel: server
      - parallel:
          - {id: left, run: 'touch left; until test -e right; do sleep 0.05; done; echo met'}
          - {id: right, run: 'touch right; until test -e left; do sleep 0.05; done; echo met'}
      - {background: true, run: echo tail}
      - wait-all:
      - {id: shaky, run: exit 3, continue-on-error: true, timeout-minutes: 1}
      - if: ${{ steps.shaky.outcome == 'failure' && success() }}
        run: echo "shaky ${{ steps.shaky.conclusion }}, server ${{ steps.server.outcome }}"
      - {if: failure(), run: echo never}
      - {shell: python, run: 'print("python", "${{ case(github.event_name == ''push'', ''pushed'', ''other'') }}")'}
  spread:
    needs: build
    runs-on: [self-hosted, linux]
    strategy:
      fail-fast: false
      max-parallel: 2
      matrix:
        number: ${{ fromJSON(needs.build.outputs.numbers) }}
        exclude: [{number: 2}]
        include: [{number: 9, extra: added}]
    steps:
      - run: echo "number ${{ matrix.number }} ${{ matrix.extra }} of ${{ strategy.job-total }}, ${{ needs.build.outputs.from-background }}"
  allowed:
    needs: [build]
    runs-on: ubuntu-latest
    continue-on-error: true
    concurrency: one-${{ github.ref }}
    steps: [{run: exit 1}]
  skipped:
    needs: build
    if: github.event_name == 'release'
    runs-on: ubuntu-latest
    steps: [{run: echo never}]
  last:
    needs: [spread, allowed, skipped]
    if: ${{ !cancelled() }}
    runs-on: {labels: ubuntu-latest}
    steps:
      - run: echo "${{ needs.spread.result }} ${{ needs.allowed.result }} ${{ needs.skipped.result }} ${{ join(needs.*.result, '/') }}"
"""
SAID = (
    "workflow job step workflow sub []",
    "late yes success true",
    "shaky success, server cancelled",
    "python pushed",
    "number 1  of 3, late",
    "number 3  of 3, late",
    "number 9 added of 3, late",
    "success success skipped success/success/skipped",
)
EVENTS = {
    "RunTriggered": 1,
    "RunPlanned": 1,
    "NodeExpanded": 4,
    "NodeSkipped": 1,
    "JobCreated": 7,
    "JobQueued": 6,
    "JobAcquired": 6,
    "JobStarted": 6,
    "JobSkipped": 1,
    "StepStarted": 20,
    "StepCompleted": 21,
    "AttemptFailed": 1,
    "JobFailed": 1,
    "JobSucceeded": 5,
    "JobConcluded": 6,
    "JobHeld": 2,
    "JobAdmitted": 2,
    "RunCompleted": 1,
}
STEPS_OF_BUILD = {
    "Run actions/checkout@v4": "success",
    "Slow": "success",
    "Run touch up; sleep 1000": "cancelled",
    "Wait": "success",
    "Cancel": "success",
    "Wait for all": "cancelled",
    "Run exit 3": "success",
    "Run echo never": "skipped",
}
"""By name; the wait for all comes after the cancelled server, and shows that one was."""


def test_each_feature_of_the_language_runs_with_its_events(place):
    """Exit 0, the lines that each feature prints, the number of events of each type, and a log that holds all invariants."""
    place.write("sub/file", "content")
    place.workflow(EVERYTHING)
    said = place("run", "--progress", "plain")
    assert said.code == 0, said.out + said.err
    for line in SAID:
        assert f"| {line}\n" in said.out
    assert "never\n" not in said.out
    found = Counter(json.loads(line)["type"] for line in place("events", "latest", "--json").out.splitlines())
    assert {kind: count for kind, count in found.items() if kind in EVENTS} == EVENTS
    run = place("runs", "view", "latest", "--json").json()
    build = next(job for job in run["jobs"] if job["key"] == "build")
    conclusions = {step["name"]: step["conclusion"] for step in build["steps"]}
    assert conclusions | STEPS_OF_BUILD == conclusions
    assert {step["id"] for step in build["steps"] if step["background"]} >= {"slow", "server", "left", "right"}
    verified = place("replay", "latest", "--verify")
    assert "every invariant holds" in verified.out, verified.out + verified.err
