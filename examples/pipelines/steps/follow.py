"""Step 7, after the merge: waits until Argo CD or Flux has applied the version, and its rollout has ended.

Exit code 0: it is promoted; 4: its rollout ended otherwise, with the reason; 1: the cluster can't be asked; 5: the time
was over.
"""

import argparse
import sys
from pathlib import Path

import pin

from modelward_cli.fleet.read import model as read_model
from modelward_cli.kubectl import KubectlError
from modelward_cli.pipeline.deploying import Version
from modelward_cli.pipeline.login import login
from modelward_cli.pipeline.rollouts import Progress, State, progress
from modelward_cli.pipeline.waiting import TooLateError, until


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="with the ModelDeployment, as it was merged")
    parser.add_argument("--model", required=True)
    parser.add_argument("--namespace", help="else that of kubectl's context")
    parser.add_argument("--kubeconfig", help="else what kubectl finds")
    parser.add_argument("--timeout", type=float, default=7200.0, help="seconds")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks")
    options = parser.parse_args()
    wanted = version_of(options.file, options.model)
    try:
        cluster = login(options.namespace, kubeconfig=options.kubeconfig)

        def look() -> Progress:
            return progress(read_model(cluster, options.model), wanted)

        ended = until(look, is_over, said, options.timeout, options.every)
    except TooLateError as error:
        print(error, file=sys.stderr)
        return 5
    except KubectlError as error:
        print(error, file=sys.stderr)
        return 1
    for gate in (ended.rollout or {}).get("gates", ()):
        print(f"  {gate['name']}  {gate['verdict']}  {gate['message'] or ''}")
    return 0 if ended.state is State.PROMOTED else 4


def is_over(now: Progress) -> bool:
    """A spec that says something else has not been applied yet: no end."""
    return now.state not in (State.WAITING, State.SUPERSEDED)


def said(now: Progress) -> str:
    return f"not applied yet: {now.message}" if now.state is State.SUPERSEDED else f"{now.state.value}: {now.message}"


def version_of(file: Path, model: str) -> Version:
    said = pin.deployment(file.read_text(), model)["spec"]["model"]
    return Version(said["uri"], said.get("digest"))


if __name__ == "__main__":
    sys.exit(main())
