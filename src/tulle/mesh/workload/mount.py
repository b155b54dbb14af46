"""Volumes as files: ConfigMap, Secret and emptyDir (core/v1 Volume, VolumeMount); others are left out."""

from __future__ import annotations

import base64

from tulle.mesh.workload.environment import Surroundings, Unresolved, content
from tulle.model import kubernetes
from tulle.model.agentapi import FileMount
from tulle.model.kubernetes.pod import ConfigMapVolumeSource, SecretVolumeSource

Files = dict[str, bytes]


def mounts(
    container: kubernetes.Container, field: str, pod: kubernetes.PodSpec, around: Surroundings
) -> tuple[FileMount, ...]:
    """What a container sees at its mount paths. Raises Unresolved."""
    found: list[FileMount] = []
    volumes = {volume.name: (index, volume) for index, volume in enumerate(pod.volumes)}
    for index, mount in enumerate(container.volume_mounts):
        at = f"{field}.volumeMounts[{index}]"
        place, volume = volumes[mount.name]
        if volume.empty_dir is not None:
            found.append(_empty(mount, at))
        elif volume.config_map is not None or volume.secret is not None:
            files = _files(volume, f"{around.draft.runs_field}.volumes[{place}]", around)
            found.append(_of_files(mount.mount_path, mount.sub_path, files, at))
    return tuple(found)


def _empty(mount: kubernetes.VolumeMount, field: str) -> FileMount:
    if mount.sub_path:
        raise Unresolved(
            f"{field}.subPath",
            "sub-path-of-empty-dir",
            "a part of an emptyDir cannot be mounted by itself",
            "Mount the whole volume, or use a volume of its own.",
        )
    return FileMount(
        path=mount.mount_path, empty_dir=True, empty_dir_name=mount.name, read_only=mount.read_only
    )


def _of_files(path: str, sub_path: str, files: Files, field: str) -> FileMount:
    """Kubernetes mounts ConfigMaps and Secrets read-only."""
    if not sub_path:
        return FileMount(path=path, files=_encoded(files), read_only=True)
    if sub_path in files:
        name = path.rstrip("/").rpartition("/")[2]
        return FileMount(path=path, files=_encoded({name: files[sub_path]}), read_only=True, single_file=True)
    below = {
        name.removeprefix(f"{sub_path}/"): content
        for name, content in files.items()
        if name.startswith(f"{sub_path}/")
    }
    if not below:
        raise Unresolved(
            f"{field}.subPath",
            "unknown-key",
            f"the volume has no file {sub_path}",
            f"Write one of its files: {', '.join(sorted(files)) or 'it has none'}.",
        )
    return FileMount(path=path, files=_encoded(below), read_only=True)


def _encoded(files: Files) -> tuple[tuple[str, str], ...]:
    return tuple((name, base64.b64encode(files[name]).decode()) for name in sorted(files))


def _files(volume: kubernetes.Volume, field: str, around: Surroundings) -> Files:
    """The files of a ConfigMap or Secret volume; none if it is optional and not there."""
    source: ConfigMapVolumeSource | SecretVolumeSource
    if volume.config_map is not None:
        source, at = volume.config_map, f"{field}.configMap"
        data = content("ConfigMap", source.name, source.optional, at, around)
    else:
        assert volume.secret is not None
        source, at = volume.secret, f"{field}.secret"
        data = content("Secret", source.secret_name, source.optional, at, around)
    return _items(data, source, at)


def _items(data: Files | None, source: ConfigMapVolumeSource | SecretVolumeSource, field: str) -> Files:
    """All keys as files, or those that `items` names, at the paths that it gives."""
    if data is None:
        return {}
    if not source.items:
        return data
    files: Files = {}
    for index, item in enumerate(source.items):
        if item.key in data:
            files[item.path] = data[item.key]
        elif not source.optional:
            raise Unresolved(
                f"{field}.items[{index}].key",
                "unknown-key",
                f"there is no key {item.key}",
                "Add the key, remove the item, or write optional: true.",
            )
    return files
