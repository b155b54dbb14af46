"""`tulle controlplane` and `tulle agent`: the daemons, which `tulle up` starts by itself."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated

import typer

from tulle.app.settings import DEFAULT_TRUST_DOMAIN, AgentOptions, ControlPlaneOptions
from tulle.cli.command import add
from tulle.cli.failure import usage
from tulle.cli.place import home


def register(app: typer.Typer) -> None:
    add(app, controlplane, "controlplane", "The control plane (`up` starts it).", "Daemons")
    add(app, agent, "agent", "The agent of a host (`up` starts it).", "Daemons")


_WorkloadSubnet = Annotated[str, typer.Option("--workload-subnet", help="Addresses of workloads.")]
_ServiceSubnet = Annotated[str, typer.Option("--service-subnet", help="Virtual addresses of services.")]
_Host = Annotated[str, typer.Option("--host", help="The name of the host that runs the workloads.")]
_TrustDomain = Annotated[str, typer.Option("--trust-domain", help="The first part of every identity.")]


def _subnet(text: str) -> str:
    try:
        return str(IPv4Network(text))
    except ValueError as error:
        raise usage(f"'{text}' is no IPv4 subnet: {error}", "write for example 10.79.0.0/16") from None


def controlplane(
    listen: Annotated[
        list[str] | None,
        typer.Option("--listen", metavar="ADDRESS", help="Where agents connect: unix:/PATH or HOST:PORT."),
    ] = None,
    join_listen: Annotated[
        list[str] | None,
        typer.Option("--join-listen", metavar="ADDRESS", help="Where agents join: unix:/PATH or HOST:PORT."),
    ] = None,
    workload_subnet: _WorkloadSubnet = "10.212.0.0/16",
    service_subnet: _ServiceSubnet = "10.213.0.0/16",
    host: _Host = "local",
    trust_domain: _TrustDomain = DEFAULT_TRUST_DOMAIN,
    join_token_file: Annotated[
        Path | None, typer.Option("--join-token-file", help="Write a join token for --host here (mode 0600).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="YAML that maps image patterns to commands.")
    ] = None,
    relay: Annotated[
        Path | None,
        typer.Option(
            "--relay", metavar="DIR", help="Keep loopback ports for gateways by this relay's files."
        ),
    ] = None,
) -> int:
    """The control plane: configuration in, Envoy configuration and identities out.

    State lives under $TULLE_HOME. `tulle up` starts it for you.

    Example:

      TULLE_HOME=/var/lib/tulle tulle controlplane --listen 0.0.0.0:15012 --join-listen 0.0.0.0:15013
    """
    if join_token_file is not None and not join_token_file.absolute().parent.is_dir():
        raise usage(f"there is no folder {join_token_file.absolute().parent}", "make it before")
    options = ControlPlaneOptions(
        home=home(),
        listen=tuple(listen or ()),
        join_listen=tuple(join_listen or ()),
        workload_subnet=_subnet(workload_subnet),
        service_subnet=_subnet(service_subnet),
        host=host,
        trust_domain=trust_domain,
        join_token_file=join_token_file,
        images=images,
        relay_directory=relay,
    )
    from tulle.app import controlplane as root

    return root.main(options)


def agent(
    controlplane: Annotated[
        str, typer.Option("--controlplane", metavar="ADDRESS", help="unix:/PATH or HOST:PORT.")
    ] = "",
    join: Annotated[str, typer.Option("--join", metavar="ADDRESS", help="Where to join, likewise.")] = "",
    join_token_file: Annotated[
        Path | None,
        typer.Option(
            "--join-token-file", help="The join token, waited for and read once; - is standard input."
        ),
    ] = None,
    host: _Host = "local",
    workload_subnet: _WorkloadSubnet = "10.212.0.0/16",
    service_subnet: _ServiceSubnet = "10.213.0.0/16",
    nameserver: Annotated[
        str,
        typer.Option(
            "--nameserver", metavar="UDP,TCP", help="Descriptors of bound sockets to answer DNS on."
        ),
    ] = "",
) -> int:
    """The agent of a host: runs its workloads and proxies, holds their keys, answers their DNS.

    The token is never given on the command line, where other users could read it.

    Example:

      tulle agent --host vm1 --controlplane cp.example:15012 --join cp.example:15013 --join-token-file -
    """
    options = AgentOptions(
        home=home(),
        host=host,
        controlplane=controlplane,
        join=join,
        join_token_file=join_token_file,
        workload_subnet=_subnet(workload_subnet),
        service_subnet=_subnet(service_subnet),
        nameserver=_descriptors(nameserver),
    )
    from tulle.app import agent as root

    return root.main(options)


def _descriptors(text: str) -> tuple[int, int] | None:
    udp, comma, tcp = text.partition(",")
    if not text:
        return None
    if not (comma and udp.isdigit() and tcp.isdigit()):
        raise usage(f"--nameserver {text} is not two descriptors", "write it like 5,6")
    return int(udp), int(tcp)
