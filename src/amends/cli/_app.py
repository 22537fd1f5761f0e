"""The commands, their flags and help; what they do is next door, imported when one is called, so that help is quick."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter, validators

from amends import __version__

from ._exits import INTERRUPTED, SUCCEEDED, BadUsage, code_of, line_of
from ._options import COMMON, Common, EnvironmentTwins

_WORK = Group("Work", sort_key=1)
_OPERATE = Group("Operate", sort_key=2)
_HELP = Group("Find out", sort_key=3)

Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]
Status = Literal["validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"]
Role = Literal["viewer", "member", "admin", "owner"]

_PARAMETER = Parameter(negative=())  # there is no --no-json: what is off by default needs no flag to be off

app = App(
    name="amends",
    help="Bulk AI-data work in which every item ends in a result or in a typed failure that says how to put it right.",
    version=__version__,
    config=EnvironmentTwins(),
    default_parameter=_PARAMETER,
    suppress_keyboard_interrupt=False,
    group_commands=_HELP,
)
keys = App(name="keys", help="Make, list and revoke API keys.", default_parameter=_PARAMETER, group=_OPERATE)
users = App(name="users", help="List, invite, change and remove users.", default_parameter=_PARAMETER, group=_OPERATE)
models = App(
    name="models", help="Install, check and list the embedded models.", default_parameter=_PARAMETER, group=_OPERATE
)
credits = App(
    name="credits", help="Show, add and estimate the workspace's credits.", default_parameter=_PARAMETER, group=_OPERATE
)
journal = App(
    name="journal",
    help="Show what SDK programs with a journal have under way, or forget it.",
    default_parameter=_PARAMETER,
    group=_OPERATE,
)
app.command(keys)
app.command(users)
app.command(credits)
app.command(models)
app.command(journal)


@app.command(group=_WORK)
def run(
    *sources: Path,
    model: str,
    prompt: str | None = None,
    schema: str | None = None,
    output: Output = None,
    join: bool = False,
    limit: int | None = None,
    dry_run: bool = False,
    new: bool = False,
    test: bool = False,
    common: Common = COMMON,
) -> int:
    """Run a model over the files of a folder, over files, or over the rows of a manifest.

    Without --server the engine runs within this command. Killed or interrupted, the same command goes on where it was. A manifest
    is one .csv, .parquet or .jsonl file with a column file, path, text, input or file_id, and as you like custom_id, page and prompt.

    Parameters
    ----------
    sources
        A folder, files, or one manifest.
    model
        The model, such as local/extract; `amends models list` names the embedded ones.
    prompt
        What the model is told.
    schema
        JSON Schema of the output: a file, or the JSON itself.
    output
        Where the results go, .jsonl, .csv or .parquet; without it as lines to stdout.
    join
        Write the manifest's table with output, status and error beside its columns.
    limit
        Run only the first N items; the same command without it goes on with the rest.
    dry_run
        Say what would be done, and do nothing.
    new
        Start afresh although a run of the same inputs stands.
    test
        Run in test mode.
    """
    from ._run import Wanted
    from ._run import run as command

    wanted = Wanted(sources, model, prompt, schema, output, join, limit, dry_run, new, test)
    return command(wanted, common)


@app.command(group=_WORK)
def runs(
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))] = 20,
    status: Status | None = None,
    common: Common = COMMON,
) -> None:
    """List the newest runs.

    Parameters
    ----------
    limit
        How many, 1 to 100.
    status
        Only those of this status.
    """
    from ._runs import list_runs

    list_runs(common, limit=limit, status=status)


@app.command(group=_WORK)
def watch(run_id: str, /, *, common: Common = COMMON) -> int:
    """Watch a run until it ends: how far it is, and each item that fails, as it happens. Under --json one event a line.

    Ends like `amends run`: 0 if every item succeeded, 3 if not. Ctrl-C stops watching and leaves the run alone.

    Parameters
    ----------
    run_id
        The run.
    """
    from ._watch import watch as command

    return command(common, run_id)


@app.command(group=_WORK)
def item(run_id: str, custom_id: str, /, *, output: Output = None, common: Common = COMMON) -> None:
    """Show the whole record of one item: what was sent, every failed attempt, its outcome.

    Parameters
    ----------
    run_id
        The run.
    custom_id
        The item.
    output
        Write the record there, as JSON.
    """
    from ._item import show_item

    show_item(common, run_id, custom_id, output)


@app.command(group=_WORK)
def results(
    run_id: str,
    /,
    *,
    output: Output = None,
    join: bool = False,
    partial: bool = False,
    status: Literal["succeeded", "errored", "canceled", "expired"] | None = None,
    common: Common = COMMON,
) -> None:
    """Show the results of a run, merged with those of its retries.

    Parameters
    ----------
    run_id
        The run.
    output
        Where they go, .jsonl, .csv or .parquet; without it as lines to stdout.
    join
        Write the manifest's table with output, status and error beside its columns.
    partial
        Of an unfinished run, the lines up to its first unfinished item.
    status
        Only lines of this status.
    """
    from ._runs import results as command

    command(common, run_id, output=output, join=join, is_partial=partial, status=status)


@app.command(group=_WORK)
def failures(run_id: str, /, *, common: Common = COMMON) -> None:
    """Show what failed in a run, by type, with what to do and the command that does it.

    Parameters
    ----------
    run_id
        The run.
    """
    from ._runs import failures as command

    command(common, run_id)


@app.command(group=_WORK)
def retry(
    run_id: str,
    /,
    *,
    kind: Annotated[list[str] | None, Parameter(name="--type")] = None,
    item: list[str] | None = None,
    replace: list[str] | None = None,
    prompt: str | None = None,
    output: Output = None,
    common: Common = COMMON,
) -> int:
    """Try the failed items of a run again, and only those; local files are read again from where they came.

    Parameters
    ----------
    run_id
        The run.
    kind
        Only failures of this type; may be repeated.
    item
        Only the item of this custom_id; may be repeated.
    replace
        CUSTOM_ID=PATH or CUSTOM_ID=URL: another file for an item; may be repeated.
    prompt
        Another prompt.
    output
        Where the merged results go, .jsonl, .csv or .parquet.
    """
    from ._retry import WantedRetry
    from ._retry import retry as command

    wanted = WantedRetry(run_id, tuple(kind or ()), tuple(item or ()), tuple(replace or ()), prompt, output)
    return command(wanted, common)


@app.command(group=_WORK)
def cancel(run_id: str, /, *, common: Common = COMMON) -> None:
    """Cancel a run; what has ended keeps its outcome.

    Parameters
    ----------
    run_id
        The run.
    """
    _act(common, run_id, "cancel")


@app.command(group=_WORK)
def expire(run_id: str, /, *, common: Common = COMMON) -> None:
    """Close the completion window of a run now: what has no outcome ends as expired.

    Parameters
    ----------
    run_id
        The run.
    """
    _act(common, run_id, "expire")


@app.command(group=_WORK)
def purge(run_id: str, /, *, common: Common = COMMON) -> None:
    """Delete the result lines of a finished run, and only these, now.

    Parameters
    ----------
    run_id
        The run.
    """
    _act(common, run_id, "purge")


def _act(common: Common, run_id: str, action: Literal["cancel", "expire", "purge"]) -> None:
    from ._runs import act

    act(common, run_id, action)


@app.command(group=_OPERATE)
def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    no_auth: bool | None = None,
    test: bool | None = None,
    database: str | None = None,
    public_url: str | None = None,
    workers: int | None = None,
    log_format: Literal["text", "json"] | None = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    common: Common = COMMON,
) -> int:
    """Serve the HTTP API on a data directory until SIGTERM or Ctrl-C.

    On a fresh directory it makes a workspace, an owner and a key, and prints the key once.

    Parameters
    ----------
    host
        Address to listen on, 127.0.0.1 by default.
    port
        Port to listen on, 8080 by default; 0 takes any free one.
    no_auth
        Let everybody in as the owner; on loopback only.
    test
        Put whoever comes without a key, on the local socket or with --no-auth, into test mode.
    database
        postgresql:// address of what is kept on PostgreSQL instead of in the data directory; others see a password in a command, so
        rather give it as AMENDS_DATABASE.
    public_url
        What the type addresses of problems begin with; by default the address listened on.
    workers
        Worker processes; by default one a core.
    log_format
        text for people, json for machines.
    log_level
        Least level that is logged.
    """
    from ._serve import serve as command

    flags: dict[str, Any] = {
        "host": host,
        "port": port,
        "no_auth": no_auth,
        "test": test,
        "database": database,
        "public_url": public_url,
        "engine.workers": workers,
        "log_format": log_format,
        "log_level": log_level,
    }
    return command(common, flags)


@keys.command(name="create")
def keys_create(
    *,
    role: Role = "member",
    user: str | None = None,
    workspace: str | None = None,
    test: bool = False,
    common: Common = COMMON,
) -> None:
    """Make a key and show it, this once; under --quiet the key alone.

    Parameters
    ----------
    role
        viewer reads; member writes too; admin also keys and what others made; owner everything.
    user
        Whose key it is; made if new. Without one the key is a principal of its own.
    workspace
        Which workspace it opens; made if new. By default the default one.
    test
        A key of test mode.
    """
    from ._keys import create

    create(common, role=role, user=user, workspace=workspace, is_test=test)


@keys.command(name="list")
def keys_list(*, common: Common = COMMON) -> None:
    """List the keys by their prefixes."""
    from ._keys import list_keys

    list_keys(common)


@keys.command(name="revoke")
def keys_revoke(key_id: str, /, *, common: Common = COMMON) -> None:
    """Revoke a key; it opens nothing from now on.

    Parameters
    ----------
    key_id
        The key's id, as `amends keys list` shows it.
    """
    from ._keys import revoke

    revoke(common, key_id)


@users.command(name="list")
def users_list(*, common: Common = COMMON) -> None:
    """List the users with their roles."""
    from ._users import list_users

    list_users(common)


@users.command(name="invite")
def users_invite(
    *, role: Role = "member", email: str | None = None, hours: float | None = None, common: Common = COMMON
) -> None:
    """Invite somebody and show the token they register with, this once; under --quiet the token alone.

    Parameters
    ----------
    role
        What they come in as: at most what you are.
    email
        Who alone may use it; by default whoever brings it.
    hours
        How long it is good; by default as the server is set, a week.
    """
    from ._users import invite

    invite(common, role=role, email=email, hours=hours)


@users.command(name="change")
def users_change(
    user_id: str, /, *, role: Role | None = None, name: str | None = None, common: Common = COMMON
) -> None:
    """Give a user another role, who logs in again then, or another name.

    Parameters
    ----------
    user_id
        The user's id, as `amends users list` shows it.
    role
        The new role.
    name
        The new name.
    """
    from ._users import change

    change(common, user_id, role=role, name=name)


@users.command(name="remove")
def users_remove(user_id: str, /, *, common: Common = COMMON) -> None:
    """Remove a user and revoke their keys. What they made stays.

    Parameters
    ----------
    user_id
        The user's id, as `amends users list` shows it.
    """
    from ._users import remove

    remove(common, user_id)


@credits.default
def credits_balance(*, common: Common = COMMON) -> None:
    """Show what the workspace has."""
    from ._credits import balance

    balance(common)


@credits.command(name="top-up")
def credits_top_up(amount: float, /, *, note: str | None = None, common: Common = COMMON) -> None:
    """Add credits; runs that paused for want of them go on by themselves.

    Parameters
    ----------
    amount
        How many.
    note
        What the history says of it.
    """
    from ._credits import top_up

    top_up(common, amount, note)


@credits.command(name="estimate")
def credits_estimate(
    *, model: str, items: Annotated[int, Parameter(validator=validators.Number(gte=1))], common: Common = COMMON
) -> None:
    """Say what items would cost at most; what fails costs nothing.

    Parameters
    ----------
    model
        The model that would be asked.
    items
        How many.
    """
    from ._credits import estimate

    estimate(common, model, items)


@credits.command(name="history")
def credits_history(
    *, limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=100))] = 20, common: Common = COMMON
) -> None:
    """List the newest top-ups and charges.

    Parameters
    ----------
    limit
        How many, 1 to 100.
    """
    from ._credits import history

    history(common, limit)


@models.command(name="install")
def models_install(*, common: Common = COMMON) -> int:
    """Install what the embedded models need, and check every weight file by its hash."""
    from ._models import install

    return install(common.words)


@models.command(name="list")
def models_list(*, common: Common = COMMON) -> None:
    """List the embedded models."""
    from ._models import list_models

    list_models(common.words)


@journal.default
def journal_list(file: Path | None = None, /, *, common: Common = COMMON) -> None:
    """Show what SDK programs with a journal have under way: calls without their answer, how much of an upload has arrived.

    Parameters
    ----------
    file
        A journal; without it all in the state folder of this user.
    """
    from ._journal import list_journals

    list_journals(common, file)


@journal.command(name="clear")
def journal_clear(file: Path | None = None, /, *, common: Common = COMMON) -> None:
    """Forget what journals hold: the same calls are new work then, and may be done twice.

    Parameters
    ----------
    file
        A journal; without it all in the state folder of this user.
    """
    from ._journal import clear_journals

    clear_journals(common, file)


@app.command(group=_HELP)
def explain(problem: str | None = None, /, *, common: Common = COMMON) -> None:
    """Explain a problem type: what it means, why it arises, what to do.

    Parameters
    ----------
    problem
        Slug, error code or address of the type, such as rate_limit_exceeded; without it all are listed.
    """
    from ._explain import explain as command

    command(problem, common.words)


@app.command(group=_OPERATE)
def doctor(*, common: Common = COMMON) -> int:
    """Check this machine and the data directory: versions, disk, weights, and that no run has lost an item."""
    from ._doctor import doctor as command

    return command(common)


@app.command(group=_OPERATE)
def config(*, common: Common = COMMON) -> None:
    """List every setting with its value and where that comes from."""
    from ._config import config as command
    from ._connection import settings_of

    command(settings_of(common), common.words)


@app.command(group=_HELP)
def version(*, common: Common = COMMON) -> None:
    """Show the version."""
    if common.json:
        common.words.document({"version": __version__})
    else:
        common.words.data(__version__)


@app.command(group=_HELP)
def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell: `eval "$(amends completion bash)"`.

    Parameters
    ----------
    shell
        Which shell.
    """
    sys.stdout.write(app.generate_completion(shell=shell))


def main(tokens: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code. Every failure is one line on stderr."""
    try:
        found = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(BadUsage(str(error)))
    except KeyboardInterrupt:
        sys.stderr.write("amends: interrupted; the same command goes on where it was\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our stdout has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if os.environ.get("AMENDS_TRACEBACK"):
            raise
        return _fail(error)
    return found if isinstance(found, int) else SUCCEEDED


def _fail(error: Exception) -> int:
    sys.stderr.write(f"amends: {line_of(error)}\n")
    return code_of(error)
