"""Runs on a cluster: a frozen copy of the project, what is to be worked off, and what has been done.

A run has a folder of its own on the disk that all nodes see. ``code`` in it is a project like the one it was made
from: package, stage scripts and params.yaml as they were when the run was submitted, and links to ``data`` and
``models``. So the commands of dvc.yaml, which DVC resolves once where the run is submitted, work there as they are,
and nodes neither call DVC nor notice that somebody goes on programming.

Items of a fine-tuning search are the rows of its plan, named by their number; those of a training are the models,
named ``<task>-<variable>``. The results of rows go where the stage looks for them, so the stage finds them done.
"""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ruamel.yaml import YAML

import attune
from attune import artifacts, params
from attune.cluster_task import ENDED, environment, program
from attune.learning import finetune_search
from attune.params import Params
from attune.problems import InputError, Problem

RUNS = Path("data") / "work" / "cluster"
LINKED = ("data", "models", "metrics", "plots")
RECORD = "run.json"
SEARCH = "finetune_search"
TRAIN = "train@"

Command = tuple[str, ...]
Kind = Literal["finetune", "train"]


class Resources(Params):
    """What a task asks for.

    Attributes:
        executor: who runs it, ``slurm``, or ``local`` for processes on this machine.
        partition: of SLURM; its default one if None.
        account: of SLURM, likewise.
        gpus: graphics processors of a task.
        cpus: cores of a task.
        memory_gb: memory of a task; what SLURM gives by default if None.
        minutes: after which a task is interrupted, to go on when it is its turn again.
        at_once: tasks that run side by side at most.
        python: the command that runs Python on a node; the present interpreter if None.
    """

    executor: Literal["slurm", "local"]
    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    cpus: int = 1
    memory_gb: float | None = None
    minutes: int = 240
    at_once: int = 256
    python: str | None = None


class Record(Params):
    """What a run is.

    Attributes:
        kind: of the run.
        resources: of each task.
        commands: by item; for a search the one of its rows under ``rows``, and ``unify``.
        items: what is to be worked off.
        work: folder of the rows, inside the frozen project.
        attempts: each a mapping of the submitted jobs to their items.
    """

    kind: Kind
    resources: Resources
    commands: dict[str, Command]
    items: tuple[str, ...]
    work: str = ""
    attempts: tuple[dict[str, Command], ...] = ()


class Run:
    """A run and its folder."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @property
    def code(self) -> Path:
        """The frozen project."""
        return self.folder / "code"

    @property
    def plan(self) -> Path:
        """The plan of a search."""
        return self.folder / "plan.csv"

    @property
    def results(self) -> Path:
        """The tables and figures of a search."""
        return self.folder / "results"

    def command(self, items: Sequence[str]) -> Command:
        """What works off some items."""
        if self.record.kind == "finetune":
            return (*self.record.commands["rows"], "--rows", ",".join(items))
        return self.record.commands[items[0]]

    def missing(self, among: Iterable[str] | None = None) -> list[str]:
        """Items without a result, of some or of all."""
        items = list(self.record.items if among is None else among)
        if self.record.kind == "train":
            return [item for item in items if not (self.folder / ENDED / item).is_file()]
        hashes, work = finetune_search.read_plan(self.plan)["hash"], self.code / self.record.work
        return [item for item in items if finetune_search.read_result(work, hashes[int(item)]) is None]

    def submitted(self, jobs: dict[str, Command]) -> None:
        """Note that jobs have been submitted."""
        attempts = (*self.record.attempts, jobs)
        self.record = self.record.model_copy(update={"attempts": attempts})
        self.write()

    def write(self) -> None:
        """Write the record into the folder."""
        artifacts.write_json(self.folder / RECORD, self.record.model_dump(mode="json"))

    def unify(self) -> None:
        """Gather the rows of a search into :attr:`results`, with the script of the stage.

        Raises:
            InputError: the script refuses.
        """
        _call(self.record.commands["unify"], self.code)


def load(project: Path, name: str | None) -> Run:
    """A run of a project by its name; the newest one unless it is given.

    Raises:
        InputError: there is none.
    """
    records = sorted((project / RUNS).glob(f"*/{RECORD}"), key=lambda path: _made(path.parent))
    names = [path.parent.name for path in records]
    if not names or (name is not None and name not in names):
        found = f"no run {name}" if name else "no run"
        cure = "Submit one: attune cluster finetune, or attune cluster train."
        raise InputError(Problem(str(RUNS), "", found, " or ".join(sorted(names)) or "a run", cure))
    folder = (project / RUNS / (name or names[-1])).resolve()
    return Run(folder, Record.model_validate(artifacts.read_json(folder / RECORD)))


def _made(folder: Path) -> float:
    """When a run was made: nobody adds to its frozen project later, whereas every attempt writes its record anew."""
    code = folder / "code"
    return code.stat().st_mtime if code.is_dir() else 0.0


def plan_search(project: Path, resources: Resources, settings: int | None) -> Run:
    """Freeze a project and plan its fine-tuning search.

    Args:
        project: its folder.
        resources: of a task.
        settings: how many settings are drawn, instead of what params.yaml says.

    Raises:
        InputError: the stage is missing or cannot plan.
    """
    stages = commands_of(project, lambda name: name == SEARCH)
    if len(stages.get(SEARCH, [])) != 3:
        expected, cure = "its three commands: plan, run and unify", "Restore the stage."
        raise InputError(Problem("dvc.yaml", SEARCH, f"{len(stages.get(SEARCH, []))} command(s)", expected, cure))
    plan, rows, unify = stages[SEARCH]
    folder = _freeze(project, "finetune")
    if settings is not None:
        _set_settings(folder / "code" / params.FILE, settings)
    own = str(folder / "plan.csv")
    rows = tuple(own if part == plan[-1] else part for part in rows)
    unify = (*(own if part == plan[-1] else part for part in unify[:-1]), str(folder / "results"))
    _call((*plan[:-1], own), folder / "code")
    items = tuple(map(str, finetune_search.read_plan(folder / "plan.csv")["row"]))
    commands = {"rows": rows, "unify": unify}
    return Run(folder, Record(kind="finetune", resources=resources, commands=commands, items=items, work=rows[-1]))


def plan_training(project: Path, resources: Resources, wanted: Sequence[str]) -> Run:
    """Freeze a project for the training of its final models.

    Args:
        project: its folder.
        resources: of a task.
        wanted: names of models, ``<task>-<variable>``; all if empty.

    Raises:
        InputError: there is no such model.
    """
    stages = commands_of(project, lambda name: name.startswith(TRAIN))
    known = {name.removeprefix(TRAIN): commands[0] for name, commands in stages.items()}
    unknown = [name for name in wanted if name not in known]
    if unknown or not known:
        expected = ", ".join(sorted(known)) or "a stage for each model"
        raise InputError(Problem("dvc.yaml", "train", ", ".join(unknown) or "none", expected, "Name one of them."))
    commands = {name: _fitting(known[name], resources.gpus) for name in wanted or known}
    folder = _freeze(project, "train")
    return Run(folder, Record(kind="train", resources=resources, commands=commands, items=tuple(commands)))


def _fitting(command: Command, gpus: int) -> Command:
    """The command of a stage, without its look at the test fold; one process for every graphics processor."""
    program, *arguments = command
    several = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}") if gpus > 1 else ()
    return (program, *several, *arguments, "--fit-only")


def commands_of(project: Path, chosen: Callable[[str], bool]) -> dict[str, list[Command]]:
    """The commands of some stages of dvc.yaml, resolved by DVC, by the stages' names.

    Raises:
        InputError: DVC cannot read the pipeline.
    """
    from dvc.exceptions import DvcException  # imported here: it takes a second
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            stages = {stage.name: stage.cmd for stage in repo.stage.load_all(str(project / "dvc.yaml"))}
    except DvcException as error:
        cure = "Run in the project's folder; `dvc stage list --all` tells more."
        raise InputError(Problem("dvc.yaml", "", str(error), "a pipeline that DVC can read", cure)) from None
    return {
        name: [tuple(shlex.split(command)) for command in ([commands] if isinstance(commands, str) else commands)]
        for name, commands in stages.items()
        if chosen(name)
    }


def _freeze(project: Path, kind: Kind) -> Path:
    """Make the folder of a run with the frozen project in it."""
    project = project.resolve()
    (project / RUNS).mkdir(parents=True, exist_ok=True)
    folder = _new_folder(project / RUNS, kind)
    code = folder / "code"
    skipped = shutil.ignore_patterns("__pycache__", "dvc.yaml", "dvc.lock", "*.partial")  # DVC looks for pipelines
    own = project / "src" / "attune"  # what runs here may be another checkout's, or an installed package
    package = own if own.is_dir() else Path(attune.__file__).parent
    shutil.copytree(package, code / "src" / "attune", ignore=skipped)
    shutil.copytree(project / "stages", code / "stages", ignore=skipped)
    shutil.copy2(project / params.FILE, code / params.FILE)
    for name in LINKED:
        (project / name).mkdir(exist_ok=True)
        (code / name).symlink_to(project / name)
    return folder


def _new_folder(parent: Path, kind: Kind) -> Path:
    number = 1
    while True:
        with suppress(FileExistsError):  # somebody else may submit at the same moment
            (parent / f"{kind}-{number:03d}").mkdir()
            return parent / f"{kind}-{number:03d}"
        number += 1


def _set_settings(file: Path, settings: int) -> None:
    yaml = YAML()
    document = yaml.load(file.read_text(encoding="utf-8"))
    document["engagement"][SEARCH]["settings"] = settings
    with artifacts.replacing(file) as temporary, temporary.open("w", encoding="utf-8") as text:
        yaml.dump(document, text)


def _call(command: Command, code: Path) -> None:
    """Run a stage script of the frozen project here.

    Raises:
        InputError: it failed.
    """
    done = subprocess.run(
        program(command), cwd=code, env=environment(code), capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        found = " ".join(lines[:3]).removeprefix("error: ") or f"code {done.returncode}"
        cure = "Mend it in the project and submit again."
        raise InputError(Problem(command[1], "", found, "success", cure))


def settings_in(project: Path) -> int:
    """How many settings a project's own params.yaml asks for."""
    return params.load(f"engagement.{SEARCH}", finetune_search.FinetuneSearchConfig, project / params.FILE).settings
