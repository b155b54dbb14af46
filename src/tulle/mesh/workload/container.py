"""What a workload's containers run, with every reference answered: from a PodSpec or from an App's version.

Pure apart from `lookup`, by which it reads ConfigMaps and Secrets. Read by `assignment.py`.
"""

from __future__ import annotations

import fnmatch
import posixpath
import shlex
from collections.abc import Callable, Sequence

from tulle.mesh.workload.draft import WorkloadPort
from tulle.mesh.workload.environment import Images, Surroundings, Unresolved, environment, expand
from tulle.mesh.workload.mount import mounts
from tulle.mesh.workload.probe import probe
from tulle.model import kubernetes
from tulle.model.agentapi import Container, Probe
from tulle.model.app import AppVersion, Readiness

_ARGS = "{args}"


def pod_containers(pod: kubernetes.PodSpec, around: Surroundings) -> list[Container | Unresolved]:
    """The containers of a pod, init containers first; or why one cannot be made."""
    field = around.draft.runs_field
    written = [(each, f"{field}.initContainers[{at}]", True) for at, each in enumerate(pod.init_containers)]
    written += [(each, f"{field}.containers[{at}]", False) for at, each in enumerate(pod.containers)]
    made: list[Container | Unresolved] = []
    for container, at, init in written:
        try:
            made.append(_pod_container(container, at, init, pod, around))
        except Unresolved as problem:
            made.append(problem)
    return made


def _pod_container(
    container: kubernetes.Container, field: str, init: bool, pod: kubernetes.PodSpec, around: Surroundings
) -> Container:
    variables = environment(container, field, around)
    args = tuple(expand(word, variables) for word in container.args)
    if container.command:
        command = (*(expand(word, variables) for word in container.command), *args)
    else:
        command = _image_command(container, field, args, around.images)
    port_named = _port_named(container)
    made = Container(
        name=container.name,
        command=command,
        env=tuple(variables.items()),
        workdir=container.working_dir,
        mounts=mounts(container, field, pod, around),
        readiness=probe(container.readiness_probe, f"{field}.readinessProbe", port_named),
        liveness=probe(container.liveness_probe, f"{field}.livenessProbe", port_named),
        startup=probe(container.startup_probe, f"{field}.startupProbe", port_named),
        init=init,
    )
    _check(made, field)
    return made


def _port_named(container: kubernetes.Container) -> Callable[[str], int | None]:
    numbers = {port.name: port.container_port for port in container.ports if port.name}
    return numbers.get


def _image_command(
    container: kubernetes.Container, field: str, args: tuple[str, ...], images: Images
) -> tuple[str, ...]:
    for pattern, command in images:
        if any(fnmatch.fnmatchcase(name, pattern) for name in image_names(container.image)):
            return _with_args(command, args)
    image = f"image {container.image}" if container.image else "it"
    pattern = f"{image_names(container.image)[-1].partition(':')[0]}*" if container.image else "IMAGE"
    raise Unresolved(
        f"{field}.image" if container.image else field,
        "image-without-command",
        f"container {container.name} has no command, and nothing says what {image} runs",
        f"Write command:, or give a file with “{pattern}: COMMAND {_ARGS}” to --images.",
    )


def image_names(image: str) -> tuple[str, ...]:
    """The names by which a pattern may call an image: as written, and in full (docker.io/library/nginx)."""
    first, slash, _ = image.partition("/")
    if not slash:
        return (image, f"docker.io/library/{image}")
    if "." in first or ":" in first or first == "localhost":
        return (image,)
    return (image, f"docker.io/{image}")


def _with_args(command: Sequence[str], args: Sequence[str]) -> tuple[str, ...]:
    words: list[str] = []
    for word in command:
        if word == _ARGS:
            words += args
        else:
            words.append(word.replace(_ARGS, shlex.join(args)))
    return tuple(words)


def process_container(process: AppVersion, around: Surroundings, folder: str) -> Container | Unresolved:
    """The one container of an App's workload. `folder` is where the file stands that describes it."""
    made = Container(
        name=around.draft.name,
        command=process.command or (),  # none: `tulle run` starts it
        env=(("HOSTNAME", around.hostname), *process.env.items()),
        workdir=posixpath.join(folder, process.workdir or ""),
        readiness=_readiness(process.readiness, around.draft.ports),
    )
    try:
        _check(made, around.draft.runs_field)
    except Unresolved as problem:
        return problem
    return made


def _check(container: Container, field: str) -> None:
    """Raise Unresolved for what no process can be given: it would fail when it is started."""
    texts = [("command", word) for word in container.command]
    texts += [("env", text) for pair in container.env for text in pair]
    for part, text in texts:
        if "\0" in text:
            raise Unresolved(
                f"{field}.{part}",
                "null-character",
                f"the {'environment' if part == 'env' else 'command'} has a null character in it",
                "Mount binary data as a file.",
            )


def _readiness(written: Readiness | None, ports: Sequence[WorkloadPort]) -> Probe | None:
    """Without a word about it, a workload is ready when its first TCP port takes connections."""
    first = next((port.number for port in ports if not port.udp), 0)
    if written is None:
        return Probe(kind="tcp", port=first, period_seconds=1) if first else None
    times = {
        "period_seconds": written.period,
        "timeout_seconds": written.timeout,
        "initial_delay_seconds": written.initial_delay,
        "success_threshold": written.success_threshold,
        "failure_threshold": written.failure_threshold,
    }
    if written.http is not None:
        return Probe.model_validate(
            {"kind": "http", "port": written.port or first, "path": written.http, **times}
        )
    if written.tcp is not None:
        return Probe.model_validate({"kind": "tcp", "port": written.tcp, **times})
    if written.grpc is not None:
        return Probe.model_validate(
            {"kind": "grpc", "port": written.grpc, "service": written.service, **times}
        )
    return Probe.model_validate({"kind": "exec", "command": written.exec, **times})
